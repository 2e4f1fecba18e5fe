"""A plan as people read it and tests pin it: one stable line a step, without hashes, times or counters."""

from collections.abc import Iterator, Sequence

from reconciler.model.change import Alert, Blocked, Deferred, Disruption, Drift, FieldChange
from reconciler.model.plan import Plan, Step

SHOWN_EDGES = 3


def render_text(plan: Plan, unmet: Sequence[str] = ()) -> str:
    """The whole plan as lines; ends with a newline. unmet: lines about requirements that it does not meet."""
    short = ("requirements not met:", *(f"  {line}" for line in unmet)) if unmet else ()
    return "\n".join((*_lines(plan), *short)) + "\n"


def headline(plan: Plan) -> str:
    """`dc/farm: 7 steps (2 live-migrate), 1 blocked`, or that there is nothing to do."""
    parts = []
    if plan.steps:
        felt = ", ".join(f"{count} {name}" for name, count in disruptions(plan).items())
        parts.append(_count(len(plan.steps), "step") + (f" ({felt})" if felt else ""))
    for name in ("blocked", "deferred"):
        if number := len(getattr(plan, name)):
            parts.append(f"{number} {name}")
    if plan.problems:
        parts.append(_count(len(plan.problems), "problem"))
    if not parts:
        parts.append("nothing to do")
    if plan.alerts:
        parts.append(_count(len(plan.alerts), "alert"))
    return f"{plan.data_center}: {', '.join(parts)}"


def disruptions(plan: Plan) -> dict[str, int]:
    """How many steps disturb guests or data, by what they feel, mildest first."""
    counts = {kind: sum(1 for step in plan.steps if step.disruption is kind) for kind in Disruption}
    return {kind.value: number for kind, number in counts.items() if number and kind is not Disruption.NONE}


def _lines(plan: Plan) -> Iterator[str]:
    yield headline(plan)
    yield from (f"problem: {text}" for text in plan.problems)
    if plan.alerts:
        yield "alerts:"
        yield from (f"  {alert_line(one)}" for one in plan.alerts)
    if plan.drift:
        yield "drift:"
        yield from (f"  {drift_line(one)}" for one in plan.drift)
    if plan.steps:
        yield "steps:"
        yield from (f"  {step_line(step)}" for step in plan.steps)
    if plan.blocked:
        yield "blocked:"
        yield from (f"  {blocked_line(one)}" for one in plan.blocked)
    if plan.deferred:
        yield "deferred:"
        yield from (f"  {deferred_line(one)}" for one in plan.deferred)


def step_line(step: Step) -> str:
    """`vm/web-1#migrate on host/h1: migrate …; because host-in-maintenance; after …`."""
    because = ", ".join(f"{one.rule} {one.ref}".rstrip() for one in step.because)
    felt = f" [{step.disruption.value}]" if step.disruption is not Disruption.NONE else ""
    return f"{step.id} on {step.host}: {step.summary}{felt}; because {because}{_after(step)}"


def _after(step: Step) -> str:
    """The steps that it waits for, the first three by name."""
    if not step.after:
        return ""
    names = [f"{edge.step} ({edge.rule})" for edge in step.after]
    rest = len(names) - SHOWN_EDGES
    return f"; after {', '.join(names[:SHOWN_EDGES])}{f' and {rest} more' if rest > 0 else ''}"


def blocked_line(one: Blocked) -> str:
    """What is in the way, and what a person is to do."""
    return f"{one.object}: {one.reason}{fields_text(one.fields)}; {one.action}"


def drift_line(one: Drift) -> str:
    """`vm/web-1: paused on host/h1, which nobody asked of Ostler; somebody suspended it there …`."""
    return f"{one.object}: {one.what}; {one.cause}"


def alert_line(one: Alert) -> str:
    """What people should see to, and how."""
    return f"{one.object}: {one.what}; {one.action}"


def deferred_line(one: Deferred) -> str:
    """What waits, and until when."""
    return f"{one.object}: {one.reason}{fields_text(one.fields)}; until {one.until}"


def fields_text(fields: tuple[FieldChange, ...]) -> str:
    """` (vm.memory 256Mi → 512Mi)`, empty where there are none."""
    return f" ({', '.join(str(one) for one in fields)})" if fields else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
