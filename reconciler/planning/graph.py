"""The step graph: a legal order in which to show the steps, or the shortest cycle that forbids one."""

from collections.abc import Callable, Mapping, Sequence

import networkx as nx

from reconciler.model.plan import Step


class StepCycleError(Exception):
    """Steps wait for each other; the text is the shortest cycle with the rule of each edge."""


def sort_steps(steps: Sequence[Step], key: Callable[[Step], tuple[object, ...]]) -> tuple[Step, ...]:
    """Steps in topological order, ties by key and id. Raises StepCycleError if there is a cycle."""
    by_id = {step.id: step for step in steps}
    rank = {step.id: (*key(step), step.id) for step in steps}
    order = nx.lexicographical_topological_sort(graph_of(steps), key=rank.__getitem__)
    try:
        return tuple(by_id[name] for name in order)
    except nx.NetworkXUnfeasible as error:
        raise StepCycleError(find_cycle(steps)) from error


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


def critical_path_seconds(steps: Sequence[Step]) -> int:
    """Seconds of the longest chain of estimates; steps must be in a legal order."""
    ends: dict[str, int] = {}
    for step in steps:
        begin = max((ends.get(edge.step, 0) for edge in step.after), default=0)
        ends[step.id] = begin + step.estimate.seconds
    return max(ends.values(), default=0)


def followers(steps: Sequence[Step]) -> Mapping[str, tuple[str, ...]]:
    """For each step, the ids of the steps that wait for it."""
    waiting: dict[str, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        for edge in step.after:
            waiting[edge.step].append(step.id)
    return {name: tuple(ids) for name, ids in waiting.items()}
