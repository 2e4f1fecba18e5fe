"""What applies leave for the passes after them: failures in a row by object, when each is tried again, and history.

The loop calls it after every apply, and before it plans.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from reconciler.diffing.deeds import describe_deed, list_deeds
from reconciler.model.desired import Desired
from reconciler.model.options import TIRELESS, Retry
from reconciler.model.outcome import ApplyOutcome, StepOutcome, StepState
from reconciler.model.plan import Plan, Step
from reconciler.pipeline import Pass
from reconciler.planning.basis import all_metas
from reconciler.store.memories import Attempt
from reconciler.store.store import Store

MOST_FAILURES = 5
"""Failing passes in a row after which an object is given up, or an alert is raised where that must not be."""
FIRST_PAUSE_MS = 5_000
LONGEST_PAUSE_MS = 300_000
MOST_KNOWN = 1000
"""An object has fewer events than this within the hour in which agents tell what they did."""
WRONG = (StepState.FAILED, StepState.UNKNOWN)


def pause_ms(failures: int) -> int:
    """How long to wait after so many failures in a row: 5 s, doubled with each, at most 5 minutes."""
    return min(FIRST_PAUSE_MS << min(max(0, failures - 1), 10), LONGEST_PAUSE_MS)


def attempts_at(store: Store, desired: Desired) -> dict[str, Attempt]:
    """Objects that failed with their manifests as they are. Raises StoreError."""
    metas = all_metas(desired)
    found = store.attempts.all(desired.data_center.uuid).items()
    return {name: one for name, one in found if name in metas and one.digest == metas[name].digest}


def find_retries(attempts: Mapping[str, Attempt], failed_ms: Mapping[str, int]) -> dict[str, Retry]:
    """Objects that failed so shortly ago that they wait for their next attempt. failed_ms: how long ago, by object.

    Hosts and storage do not wait by themselves: the whole pass does, because everything else rests on them.
    """
    left = {
        name: pause_ms(one.failures) - failed_ms.get(name, LONGEST_PAUSE_MS) for name, one in attempts.items()
    }
    return {
        name: Retry(one.failures, one.reason, left[name])
        for name, one in attempts.items()
        if left[name] > 0 and not name.startswith(TIRELESS)
    }


def failed_objects(plan: Plan, outcome: ApplyOutcome) -> dict[str, StepOutcome]:
    """Objects of which a step failed, or ended nobody knows how; each with the first such end."""
    found: dict[str, StepOutcome] = {}
    for step in plan.steps:
        end = outcome.steps.get(step.id)
        if end is not None and end.state in WRONG:
            found.setdefault(step.object, end)
    return found


def remember_outcome(store: Store, desired: Desired, plan: Plan, outcome: ApplyOutcome) -> None:
    """Counts failing passes by object, forgets those of objects whose steps all succeeded, and keeps what happened.

    Raises StoreError.
    """
    metas, wrong, center = all_metas(desired), failed_objects(plan, outcome), desired.data_center.uuid
    events = [*_events(plan, outcome)]
    for name, end in wrong.items():
        digest = metas[name].digest if name in metas else ""
        failures = store.attempts.failed(center, name, digest, end.summary)
        if failures == MOST_FAILURES and never_given_up(name, plan.steps):
            events.append((name, "Alert", f"failed {failures} times in a row, and goes on: {end.summary}"))
    for name in store.attempts.all(center):
        ends = [outcome.steps.get(step.id) for step in plan.steps if step.object == name]
        if ends and all(one is not None and one.state is StepState.SUCCEEDED for one in ends):
            store.attempts.forget(center, name)
    store.history.add_all(events, center)


def remember_deeds(store: Store, done: Pass) -> None:
    """Keeps what agents did to guests by themselves, each deed once. Raises StoreError."""
    center = done.desired.data_center.uuid
    for host, name, deed in list_deeds(done.observed):
        at = datetime.fromtimestamp(deed.wallclock_ms / 1000, UTC)
        message = f"{describe_deed(host, deed)} (at {at:%Y-%m-%d %H:%M:%S} UTC by its clock)"
        known = store.history.latest(name, MOST_KNOWN, center)
        if all(one.message != message for one in known):
            store.history.add(name, "DestroyedByAgent", message, center)


def never_given_up(name: str, steps: tuple[Step, ...]) -> bool:
    """Whether an object is tried without end: hosts and storage, and a VM that is to be restarted after a failure."""
    return name.startswith(TIRELESS) or any(step.protective for step in steps if step.object == name)


def _events(plan: Plan, outcome: ApplyOutcome) -> Iterator[tuple[str, str, str]]:
    """What happened to each object, as history keeps it: object, a word in CamelCase, a line."""
    for step in plan.steps:
        end = outcome.steps.get(step.id)
        if end is None or end.state is StepState.SKIPPED:
            continue
        word = "".join(part.capitalize() for part in step.kind.split("-"))
        ending = "" if end.state is StepState.SUCCEEDED else end.state.value.capitalize()
        why = f": {end.summary}" if ending and end.summary else ""
        yield step.object, f"{word}{ending}", f"{step.summary} on {step.host} (apply {outcome.apply_id}){why}"
