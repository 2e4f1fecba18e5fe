"""What turns of the loop came to, as lines of a log: one for a turn with something to say, one for each step that
failed, and what has become blocked or free since the turn before."""

from collections.abc import Callable, Iterator

from reconciler.cli.loading import find_oversized
from reconciler.desired.places import Places
from reconciler.loop import Turn
from reconciler.model.outcome import ApplyOutcome, StepState
from reconciler.model.plan import Plan
from reconciler.planfile.text import alert_line, blocked_line, drift_line, headline

SHOWN = 4
"""How many objects a line names."""
WRONG = (StepState.FAILED, StepState.UNKNOWN)


class TurnLog:
    """Remembers by data center what it has said, so that nothing is said twice. say: takes one line. places: where
    declared fields stand now."""

    def __init__(self, say: Callable[[str], None], places: Callable[[], Places] | None = None) -> None:
        self._say = say
        self._places = places
        self._oversized: dict[str, tuple[str, ...]] = {}
        self._blocked: dict[str, dict[str, str]] = {}
        self._silent: dict[str, dict[str, str]] = {}
        self._numbers: dict[str, int] = {}
        self._alerts: dict[str, dict[str, str]] = {}
        self._drift: dict[str, dict[str, str]] = {}
        self._objections: dict[str, tuple[str, ...]] = {}

    def tell(self, turn: Turn) -> None:
        """Everything worth a line."""
        plan = turn.done.plan
        center = plan.data_center
        self._numbers[center] = self._numbers.get(center, 0) + 1
        for line in (
            *self._hosts(turn),
            *self._settled(turn),
            *self._sizes(turn),
            *self._plan(turn, plan),
            *self._news(plan),
        ):
            self._say(f"{center} pass {self._numbers[center]}: {line}")

    def _hosts(self, turn: Turn) -> Iterator[str]:
        """Hosts that fell silent, or answer again."""
        center = turn.done.plan.data_center
        before = self._silent.get(center, {})
        now: dict[str, str] = {}
        for one in turn.gathered.reports.hosts:
            if one.status == "answering":
                if one.host in before:
                    yield f"{one.host} answers again"
                continue
            now[one.host] = one.status
            if before.get(one.host) != one.status:
                yield f"{one.host} is {one.status}{f': {one.detail}' if one.detail else ''}"
        self._silent[center] = now

    def _settled(self, turn: Turn) -> Iterator[str]:
        """Steps of an earlier process."""
        for one in turn.settled:
            yield f"settled {one.step.step_id} of apply {one.step.apply_id}: {one.fate.outcome.state.value}"

    def _sizes(self, turn: Turn) -> Iterator[str]:
        """VMs that no host is large enough for."""
        found = find_oversized(
            turn.done.desired, turn.gathered.reports, self._places() if self._places else None
        )
        lines, center = tuple(map(str, found)), turn.done.plan.data_center
        if lines != self._oversized.get(center, ()):
            yield from lines
        self._oversized[center] = lines

    def _plan(self, turn: Turn, plan: Plan) -> Iterator[str]:
        """The plan and its end, or why it was not applied."""
        yield from (f"problem: {text}" for text in plan.problems)
        objections = tuple(str(one) for one in turn.objections)
        if objections != self._objections.get(plan.data_center, ()):
            yield from (f"not applied: {one}" for one in objections)
        self._objections[plan.data_center] = objections
        if turn.outcome is not None:
            yield from _end(plan, turn.outcome)

    def _news(self, plan: Plan) -> Iterator[str]:
        """Alerts, drift that no step mends, and what is blocked, that were not; what was blocked, and is not."""
        alerted = self._alerts.get(plan.data_center, {})
        alerts = {one.object: alert_line(one) for one in plan.alerts}
        yield from (f"alert: {line}" for name, line in alerts.items() if alerted.get(name) != line)
        self._alerts[plan.data_center] = alerts
        drifted, handled = self._drift.get(plan.data_center, {}), {step.object for step in plan.steps}
        drift = {one.object: drift_line(one) for one in plan.drift if one.object not in handled}
        yield from (f"drift: {line}" for name, line in drift.items() if drifted.get(name) != line)
        self._drift[plan.data_center] = drift
        before = self._blocked.get(plan.data_center, {})
        now = {one.object: blocked_line(one) for one in plan.blocked}
        yield from (f"blocked: {line}" for name, line in now.items() if before.get(name) != line)
        yield from (f"no longer blocked: {name}" for name in before if name not in now)
        self._blocked[plan.data_center] = now


def _end(plan: Plan, outcome: ApplyOutcome) -> Iterator[str]:
    """`7 steps (2 live-migrate) for vm/web-1, vm/web-2: 6 succeeded, 1 failed (apply 4f…)`, then each failure."""
    counts: dict[str, int] = {}
    for one in outcome.steps.values():
        counts[one.state.value] = counts.get(one.state.value, 0) + 1
    ends = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    what = headline(plan).partition(": ")[2]
    names = list(dict.fromkeys(step.object for step in plan.steps))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    about = f"{', '.join(names[:SHOWN])}{more}"
    yield f"{what} for {about}: {ends or outcome.refused or 'nothing began'} (apply {outcome.apply_id})"
    if outcome.refused and ends:
        yield f"refused: {outcome.refused}"
    if outcome.interrupted:
        yield f"interrupted: {outcome.interrupted}"
    for name, step in outcome.steps.items():
        if step.state in WRONG:
            yield f"{step.state.value}: {name}: {'; '.join(part for part in (step.summary, step.action) if part)}"
