"""A plan as a pull request comment: GitHub-flavoured markdown with a Mermaid graph."""

import re
from collections.abc import Iterator, Sequence

from reconciler.model.change import Disruption
from reconciler.model.plan import Plan, Step
from reconciler.planfile.canonical import plan_digest, plan_id
from reconciler.planfile.text import fields_text, headline

MOST_ROWS = 300
MOST_NODES = 60
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")
CODE = re.compile(r"(`[^`]+`)")
NODE_COLOURS = {
    Disruption.LIVE_MIGRATE: "live",
    Disruption.PAUSE: "live",
    Disruption.RESTART: "hard",
    Disruption.POWER_OFF: "hard",
    Disruption.DATA_LOSS: "loss",
}


def render_markdown(plan: Plan, unmet: Sequence[str] = ()) -> str:
    """The whole plan; long ones are cut with a line that says by how much. Ends with a newline. unmet: lines about
    requirements that it does not meet."""
    return "\n".join(_lines(plan, unmet)) + "\n"


def escape(text: str) -> str:
    """Text that markdown and HTML show as it is: names in manifests are anybody's."""
    return SPECIAL.sub(r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " "))


def prose(text: str) -> str:
    """As `escape`, and what stands between backticks, as commands do in advice, is shown as code."""
    parts = CODE.split(text.replace("\n", " "))
    return "".join(part if index % 2 else escape(part) for index, part in enumerate(parts))


def _lines(plan: Plan, unmet: Sequence[str]) -> Iterator[str]:
    digest = plan_digest(plan)
    yield f"### Ostler plan `{plan_id(digest)}`"
    yield ""
    yield f"**{escape(headline(plan))}**"
    yield ""
    yield from (f"> ⛔ {prose(text)}" for text in plan.problems)
    yield from _list("⛔ Requirements not met", [prose(line) for line in unmet])
    yield from _steps(plan.steps)
    yield from _list(
        "⛔ Blocked: somebody must act",
        [
            f"`{one.object}`: {prose(one.reason + fields_text(one.fields))} → {prose(one.action)}"
            for one in plan.blocked
        ],
    )
    yield from _list(
        "⚠️ Alerts", [f"`{one.object}`: {prose(one.what)} → {prose(one.action)}" for one in plan.alerts]
    )
    yield from _list(
        "⏳ Deferred",
        [
            f"`{one.object}`: {prose(one.reason + fields_text(one.fields))}, until {prose(one.until)}"
            for one in plan.deferred
        ],
    )
    yield from _list(
        "🔀 Drift", [f"`{one.object}`: {prose(one.what)}; {prose(one.cause)}" for one in plan.drift]
    )
    if plan.steps:
        yield "<details><summary>Order</summary>"
        yield ""
        yield from mermaid(plan.steps)
        yield ""
        yield "</details>"
        yield ""
    yield f"<sub>digest `{digest}` · `ostler apply PLANFILE --expect {digest[:12]}…` binds an approval to it</sub>"


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    """Steps as a table."""
    if not steps:
        return
    yield "| step | host | what | disturbs | because |"
    yield "|---|---|---|---|---|"
    for step in steps[:MOST_ROWS]:
        felt = "" if step.disruption is Disruption.NONE else f"**{step.disruption.value}**"
        because = ", ".join(f"{one.rule} {one.ref}".rstrip() for one in step.because)
        yield f"| `{step.id}` | `{step.host}` | {escape(step.summary)} | {felt} | {escape(because)} |"
    if len(steps) > MOST_ROWS:
        yield ""
        yield f"… and {len(steps) - MOST_ROWS} more steps"
    yield ""


def _list(title: str, lines: Sequence[str]) -> Iterator[str]:
    """A titled list, nothing if it is empty."""
    if lines:
        yield f"**{title}**"
        yield ""
        yield from (f"- {line}" for line in lines[:MOST_ROWS])
        if len(lines) > MOST_ROWS:
            yield f"- … and {len(lines) - MOST_ROWS} more"
        yield ""


def mermaid(steps: Sequence[Step]) -> Iterator[str]:
    """The graph of the first sixty steps as a fenced Mermaid flowchart."""
    shown = steps[:MOST_NODES]
    number = {step.id: index for index, step in enumerate(shown)}
    yield "```mermaid"
    yield "flowchart LR"
    for step in shown:
        label = f"{step.id}<br/>{step.host}".replace('"', "'")
        colour = NODE_COLOURS.get(step.disruption)
        yield f'  n{number[step.id]}["{label}"]{f":::{colour}" if colour else ""}'
    for step in shown:
        for edge in step.after:
            if edge.step in number:
                arrow = "-->" if edge.kind == "success" else "-.->"
                yield f"  n{number[edge.step]} {arrow} n{number[step.id]}"
    yield "  classDef live fill:#fff3cd,stroke:#b58900"
    yield "  classDef hard fill:#f8d7da,stroke:#c0392b"
    yield "  classDef loss fill:#c0392b,stroke:#7b241c,color:#fff"
    if len(steps) > MOST_NODES:
        yield f"  more[… and {len(steps) - MOST_NODES} more steps]"
    yield "```"
