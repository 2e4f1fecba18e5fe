"""Intents that other commands left for the process that applies plans: which of them are planned, and what they hear.

The loop calls it before a plan is made, while it is carried out, and when it has ended.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from nodeagent.wire.orders import Progress
from reconciler.execution.run import Watcher
from reconciler.loop import Turn
from reconciler.model.desired import Desired
from reconciler.model.intents import contradiction, run_number
from reconciler.model.outcome import StepOutcome, StepState
from reconciler.store.database import StoreError
from reconciler.store.requests import Request
from reconciler.store.store import Store

BEHIND = "a plan that is being carried out has steps of it; this comes next"
WRONG = (StepState.FAILED, StepState.UNKNOWN)


def accept(store: Store, desired: Desired, previous: Turn | None) -> Sequence[Request]:
    """Intents to plan in this turn; those that cannot be met any more are refused."""
    accepted = []
    for one in store.requests.open(desired.data_center.uuid):
        why = _objection(desired, one, previous)
        if why:
            store.requests.answer(one.intent.id, "refused", why)
        else:
            accepted.append(one)
    return accepted


def _objection(desired: Desired, request: Request, previous: Turn | None) -> str:
    """Why an intent that waits cannot be met; empty if it may."""
    vm = desired.vms.get(request.vm)
    if request.state != "waiting":
        return ""
    if vm is None:
        return "no manifest declares it any more"
    found = contradiction(desired, vm, request.intent)
    if found is not None:
        return found.summary
    if previous is not None:
        seen = previous.done.observed.vms.get(previous.done.identities.vms.get(request.vm, ""))
        if seen is not None and run_number(seen.record) > request.intent.run:
            return "it was started, restarted or moved meanwhile; ask again"
    return ""


def put_off(
    store: Store, requests: Iterable[Request], held: Collection[str], under_way: Collection[str]
) -> list[Request]:
    """The intents that can be planned now; those of VMs that another plan holds are told that they wait. under_way: ids
    of intents that such a plan is about."""
    for one in requests:
        if one.state == "waiting" and one.vm in held and not one.detail and one.intent.id not in under_way:
            store.requests.answer(one.intent.id, "waiting", BEHIND)
    return [one for one in requests if one.vm not in held]


def answer_unplanned(store: Store, turn: Turn, requests: Iterable[Request]) -> list[Request]:
    """Refuses what the turn's plan has no steps for; returns the other intents."""
    planned = {step.object for step in turn.done.plan.steps}
    for one in requests:
        if one.state == "waiting" and one.vm not in planned:
            blocked = next((found for found in turn.done.plan.blocked if found.object == one.vm), None)
            why = f"{blocked.reason}; {blocked.action}" if blocked else "it is not possible now"
            store.requests.answer(one.intent.id, "refused", why)
    return [one for one in requests if one.vm in planned or one.state != "waiting"]


def answer_ended(store: Store, turn: Turn, requests: Iterable[Request]) -> None:
    """Says what became of intents in a turn that has ended: one that was written is taken, and ends with its VM's
    steps."""
    states = turn.outcome.steps if turn.outcome else {}
    for one in requests:
        steps = [step for step in turn.done.plan.steps if step.object == one.vm]
        ends = [states[step.id] for step in steps if step.id in states]
        written = states.get(_written(one.vm))
        if one.state == "waiting" and (written is None or written.state is not StepState.SUCCEEDED):
            continue
        if wrong := [end for end in ends if end.state in WRONG]:
            store.requests.answer(one.intent.id, "failed", wrong[0].summary)
        elif len(ends) == len(steps) and all(end.state is StepState.SUCCEEDED for end in ends):
            store.requests.answer(one.intent.id, "done")
        else:
            store.requests.answer(one.intent.id, "taken")


class Taking:
    """Watches a plan: an intent is taken as soon as it stands in its VM's record, however long its steps last."""

    def __init__(self, store: Store, requests: Iterable[Request], other: Watcher | None) -> None:
        self._store = store
        self._other = other
        self._written = {_written(one.vm): one for one in requests if one.state == "waiting"}

    def step_changed(self, outcome: StepOutcome, progress: Progress | None) -> None:
        """A step changed; a store that fails is found out by the plan's own steps."""
        one = self._written.get(outcome.step)
        if one is not None and outcome.state is StepState.SUCCEEDED:
            with suppress(StoreError):
                self._store.requests.answer(one.intent.id, "taken")
        if self._other is not None:
            self._other.step_changed(outcome, progress)


def _written(vm: str) -> str:
    """The step that writes an intent into the VM's record."""
    return f"{vm}#update-record"


def has_requests(store: Store, desired: Desired) -> bool:
    """Whether an intent waits that has not been put off; a store that cannot be read is found out by the next turn."""
    with suppress(StoreError):
        requests = store.requests.open(desired.data_center.uuid)
        return any(one.state == "waiting" and not one.detail for one in requests)
    return False
