"""The step graph as SVG: a column for each level of the order, steps as boxes, waiting as curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from reconciler.model.change import Disruption
from reconciler.model.plan import Edge, Step
from reconciler.planfile.shortening import shorten

BOX_HEIGHT, ROW = 44, 58
GAP, MARGIN, PADDING = 70, 16, 10
CHARACTER = 7.5
"""Width of a character of the page's fonts at 12 px, rounded up: the widest of them takes 0.61 of its size."""
MOST_NODES = 400
LEAST_LABEL, MOST_LABEL = 16, 44
"""Characters of a line in a box; what is longer loses its middle, and is whole in the tooltip."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a step is drawn."""

    step: Step
    x: int
    y: int
    width: int

    @property
    def lines(self) -> tuple[str, str]:
        """Its texts: the step, and where it is taken with what guests feel."""
        return _lines(self.step)


def draw_graph(steps: Sequence[Step]) -> str:
    """An SVG element; of a plan with more than 400 steps the first 400."""
    boxes = _lay_out(steps[:MOST_NODES])
    width = max((box.x + box.width for box in boxes.values()), default=0) + MARGIN
    height = max((box.y for box in boxes.values()), default=0) + BOX_HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="Order of the steps">'
    ]
    parts += [
        _curve(boxes[edge.step], boxes[step], edge.rule, edge.kind)
        for step, edges in _needed_edges([box.step for box in boxes.values()]).items()
        for edge in edges
    ]
    parts += [_box(box) for box in boxes.values()]
    parts.append("</svg>")
    return "\n".join(parts)


def _lay_out(steps: Sequence[Step]) -> dict[str, Box]:
    """Each step one column right of the last step that it waits for, rows in plan order; columns as wide as their texts."""
    level: dict[str, int] = {}
    columns: dict[int, list[Step]] = {}
    for step in steps:
        level[step.id] = 1 + max((level[edge.step] for edge in step.after if edge.step in level), default=-1)
        columns.setdefault(level[step.id], []).append(step)
    boxes: dict[str, Box] = {}
    left = MARGIN
    for _, column in sorted(columns.items()):
        width = _width(column)
        boxes |= {step.id: Box(step, left, MARGIN + row * ROW, width) for row, step in enumerate(column)}
        left += width + GAP
    return {step.id: boxes[step.id] for step in steps}


def _width(column: Sequence[Step]) -> int:
    """Pixels that the longest line of a column takes in its box."""
    longest = max(len(line) for step in column for line in _lines(step))
    return round(max(LEAST_LABEL, longest) * CHARACTER) + 2 * PADDING


def _lines(step: Step) -> tuple[str, str]:
    felt = "" if step.disruption is Disruption.NONE else f" · {step.disruption.value}"
    return shorten(step.id, MOST_LABEL), f"{shorten(step.host, MOST_LABEL - len(felt))}{felt}"


def _needed_edges(steps: Sequence[Step]) -> dict[str, list[Edge]]:
    """Edges that are not implied by others: a drawing with all of them is a tangle. Steps are in a legal order."""
    before: dict[str, set[str]] = {}
    needed: dict[str, list[Edge]] = {}
    for step in steps:
        direct = [edge for edge in step.after if edge.step in before]
        implied = {other for edge in direct for other in before[edge.step]}
        needed[step.id] = [edge for edge in direct if edge.step not in implied]
        before[step.id] = implied | {edge.step for edge in direct}
    return needed


def _curve(start: Box, end: Box, rule: str, kind: str) -> str:
    """A curve from one box to the next, with its rule as a tooltip."""
    x1, y1 = start.x + start.width, start.y + BOX_HEIGHT // 2
    x2, y2 = end.x, end.y + BOX_HEIGHT // 2
    middle = (x1 + x2) // 2
    dashed = ' stroke-dasharray="4 3"' if kind == "settled" else ""
    return (
        f'<path class="edge" d="M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}"{dashed}>'
        f"<title>{escape(start.step.id)} before {escape(end.step.id)}: {escape(rule)}</title></path>"
    )


def _box(box: Box) -> str:
    """A step with its host; all of it as a tooltip."""
    step = box.step
    felt = "" if step.disruption is Disruption.NONE else f" {step.disruption.value}"
    first, second = box.lines
    return (
        f'<g class="step{felt}"><title>{escape(step.id)} on {escape(step.host)}: {escape(step.summary)}</title>'
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{BOX_HEIGHT}" rx="6"/>'
        f'<text x="{box.x + PADDING}" y="{box.y + 18}">{escape(first)}</text>'
        f'<text class="host" x="{box.x + PADDING}" y="{box.y + 35}">{escape(second)}</text></g>'
    )
