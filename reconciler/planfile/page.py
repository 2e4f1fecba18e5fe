"""A plan as one HTML file that needs nothing else: no scripts, no links, the graph drawn."""

from collections.abc import Iterator, Sequence
from html import escape

from reconciler.model.change import Disruption
from reconciler.model.plan import Plan, Step
from reconciler.planfile.canonical import plan_digest, plan_id
from reconciler.planfile.drawing import MOST_NODES, draw_graph
from reconciler.planfile.text import alert_line, blocked_line, deferred_line, headline

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --live: #b58900; --hard: #c0392b; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem; }
code, .id { font-family: ui-monospace, monospace; font-size: .92em; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
.graph { overflow: auto; border: 1px solid var(--line); border-radius: 8px; max-height: 75vh; }
.blocked { border-left: 4px solid var(--hard); padding-left: .8rem; }
.alerts, .deferred, .drift { border-left: 4px solid var(--live); padding-left: .8rem; }
.felt { font-weight: 600; color: var(--hard); } .felt.live-migrate, .felt.pause { color: var(--live); }
td.id { min-width: 6em; }
svg rect { fill: Canvas; stroke: var(--line); } svg text { font: 12px ui-monospace, monospace; fill: currentColor; }
svg .host { opacity: .7; } svg .edge { fill: none; stroke: var(--line); stroke-width: 1.5; }
svg .live-migrate rect, svg .pause rect { stroke: var(--live); stroke-width: 2; }
svg .restart rect, svg .power-off rect { stroke: var(--hard); stroke-width: 2; }
svg .data-loss rect { stroke: var(--hard); fill: #c0392b55; stroke-width: 3; }
"""


def render_page(plan: Plan, unmet: Sequence[str] = ()) -> str:
    """The whole page; ends with a newline. Every text of the plan is escaped. unmet: lines about requirements that it
    does not meet."""
    return "\n".join(_parts(plan, unmet)) + "\n"


def _parts(plan: Plan, unmet: Sequence[str]) -> Iterator[str]:
    digest = plan_digest(plan)
    yield '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>Plan {plan_id(digest)} · {escape(plan.data_center)}</title><style>{STYLE}</style></head><body>"
    yield f"<h1>Plan {plan_id(digest)}</h1><p><strong>{escape(headline(plan))}</strong></p>"
    yield f"<p>digest <code>{digest}</code> · planner {escape(plan.planner)}</p>"
    yield from _list("Problems", "blocked", plan.problems)
    yield from _list("Requirements not met", "blocked", unmet)
    yield from _list("Blocked: somebody must act", "blocked", [blocked_line(one) for one in plan.blocked])
    yield from _list("Alerts", "alerts", [alert_line(one) for one in plan.alerts])
    yield from _list("Deferred", "deferred", [deferred_line(one) for one in plan.deferred])
    yield from _list("Drift", "drift", [f"{one.object}: {one.what}; {one.cause}" for one in plan.drift])
    if plan.steps:
        cut = f" (the first {MOST_NODES})" if len(plan.steps) > MOST_NODES else ""
        yield f'<h2>Order{cut}</h2><div class="graph">{draw_graph(plan.steps)}</div>'
        yield from _table(plan.steps)
    yield "</body></html>"


def _list(title: str, kind: str, lines: Sequence[str]) -> Iterator[str]:
    """A titled list, nothing if it is empty."""
    if lines:
        yield f'<h2>{title}</h2><ul class="{kind}">'
        yield from (f"<li>{escape(line)}</li>" for line in lines)
        yield "</ul>"


def _table(steps: Sequence[Step]) -> Iterator[str]:
    """Every step with its reasons and what it waits for."""
    yield "<h2>Steps</h2><table><thead><tr><th>Step</th><th>Host</th><th>What</th><th>Because</th><th>After</th></tr></thead><tbody>"
    for step in steps:
        felt = (
            ""
            if step.disruption is Disruption.NONE
            else f'<br><span class="felt {step.disruption.value}">{step.disruption.value}</span>'
        )
        because = ", ".join(f"{one.rule} {one.ref}".rstrip() for one in step.because)
        after = "<br>".join(
            f'<span class="id">{escape(edge.step)}</span> ({escape(edge.rule)})' for edge in step.after
        )
        yield (
            f'<tr><td class="id">{escape(step.id)}</td><td class="id">{escape(step.host)}</td>'
            f"<td>{escape(step.summary)}{felt}</td><td>{escape(because)}</td><td>{after}</td></tr>"
        )
    yield "</tbody></table>"
