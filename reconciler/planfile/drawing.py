"""The step graph as SVG: a column for each level of the order, steps as boxes, waiting as curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from reconciler.model.change import Disruption
from reconciler.model.plan import Edge, Step

BOX_WIDTH, BOX_HEIGHT = 230, 44
COLUMN, ROW = 300, 58
MARGIN = 16
MOST_NODES = 400
LABEL_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Box:
    """Where a step is drawn."""

    step: Step
    x: int
    y: int


def draw_graph(steps: Sequence[Step]) -> str:
    """An SVG element; of a plan with more than 400 steps the first 400."""
    boxes = _lay_out(steps[:MOST_NODES])
    width = max((box.x for box in boxes.values()), default=0) + BOX_WIDTH + MARGIN
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
    """Each step one column right of the last step that it waits for; rows in plan order."""
    level: dict[str, int] = {}
    filled: dict[int, int] = {}
    boxes: dict[str, Box] = {}
    for step in steps:
        column = 1 + max((level[edge.step] for edge in step.after if edge.step in level), default=-1)
        level[step.id] = column
        row = filled.get(column, 0)
        filled[column] = row + 1
        boxes[step.id] = Box(step, MARGIN + column * COLUMN, MARGIN + row * ROW)
    return boxes


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
    x1, y1 = start.x + BOX_WIDTH, start.y + BOX_HEIGHT // 2
    x2, y2 = end.x, end.y + BOX_HEIGHT // 2
    middle = (x1 + x2) // 2
    dashed = ' stroke-dasharray="4 3"' if kind == "settled" else ""
    return (
        f'<path class="edge" d="M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}"{dashed}>'
        f"<title>{escape(start.step.id)} before {escape(end.step.id)}: {escape(rule)}</title></path>"
    )


def _box(box: Box) -> str:
    """A step with its host; the summary as a tooltip."""
    step = box.step
    felt = f" {step.disruption.value}" if step.disruption is not Disruption.NONE else ""
    return (
        f'<g class="step{felt}"><title>{escape(step.summary)}</title>'
        f'<rect x="{box.x}" y="{box.y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
        f'<text x="{box.x + 10}" y="{box.y + 18}">{escape(_short(step.id))}</text>'
        f'<text class="host" x="{box.x + 10}" y="{box.y + 35}">{escape(_short(step.host))}{escape(felt and f" ·{felt}")}</text></g>'
    )


def _short(text: str) -> str:
    """A label that fits into its box."""
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"
