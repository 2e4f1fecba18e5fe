"""The shortest cycle among steps that wait for each other, as text. Only `graph` calls it, when there is no order."""

from collections.abc import Sequence

import networkx as nx

from reconciler.model.plan import Step


def graph_of(steps: Sequence[Step]) -> "nx.DiGraph[str]":
    """Steps as nodes, an edge from each step to those that wait for it, with its rule."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(step.id for step in steps)
    graph.add_edges_from((edge.step, step.id, {"rule": edge.rule}) for step in steps for edge in step.after)
    return graph


def find_cycle(steps: Sequence[Step]) -> str | None:
    """The shortest cycle as `a -[rule]-> b -[rule]-> a`, beginning with its smallest id; None if there is none."""
    graph = graph_of(steps)
    best: list[str] | None = None
    for component in nx.strongly_connected_components(graph):
        if len(component) > 1 or any(graph.has_edge(node, node) for node in component):
            cycle = _shortest(graph.subgraph(component))
            if best is None or (len(cycle), cycle) < (len(best), best):
                best = cycle
    return None if best is None else _show(graph, best)


def _shortest(graph: "nx.DiGraph[str]") -> list[str]:
    """The shortest cycle of a strongly connected graph; of several, the one that sorts first."""
    found: list[list[str]] = []
    for node in sorted(graph):
        paths = [nx.shortest_path(graph, follower, node) for follower in sorted(graph.successors(node))]
        shortest = min(paths, key=lambda path: (len(path), path))
        found.append([node, *shortest[:-1]] if shortest[0] != node else [node])
    return min(found, key=lambda cycle: (len(cycle), cycle))


def _show(graph: "nx.DiGraph[str]", cycle: list[str]) -> str:
    """A cycle as a line of text, each edge with its rule."""
    start = cycle.index(min(cycle))
    nodes = cycle[start:] + cycle[:start]
    parts = [nodes[0]]
    for here, there in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        parts.append(f"-[{graph.edges[here, there]['rule']}]-> {there}")
    return " ".join(parts)
