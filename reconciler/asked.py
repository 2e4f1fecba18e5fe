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
from reconciler.store.requests import ENDED, Request, RequestState
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
            store.requests.answer(one.intent.id, *_why_unplanned(turn, one))
    return [one for one in requests if one.vm in planned or one.state != "waiting"]


def _why_unplanned(turn: Turn, one: Request) -> tuple[RequestState, str]:
    """What an intent hears of which nothing is planned: it is refused if a person must act, and waits for all else."""
    plan = turn.done.plan
    blocked = next((found for found in plan.blocked if found.object == one.vm), None)
    deferred = next((found for found in plan.deferred if found.object == one.vm), None)
    if blocked is not None:
        return "refused", f"{blocked.reason}; {blocked.action}"
    if deferred is not None:
        return "waiting", f"{deferred.reason}; until {deferred.until}"
    return "refused", "it is not possible now"


def answer_ended(store: Store, turn: Turn, requests: Iterable[Request]) -> None:
    """Says what became of intents in a turn that has ended, if they have not heard: one that was written is taken, and
    ends with its VM's steps."""
    states = turn.outcome.steps if turn.outcome else {}
    for one in requests:
        found = store.requests.find(one.intent.id)
        if found is not None and found.state in ENDED:
            continue
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


class Listening:
    """Watches a plan for those who asked: an intent is taken as soon as it stands in its VM's record, and done as soon
    as the last step of its VM is, however long the plan goes on. One that waits outlives that the plan moves its VM."""

    def __init__(self, store: Store, turn: Turn, other: Watcher | None) -> None:
        self._store = store
        self._other = other
        self._asked = {one.vm: one for one in turn.requests if one.state == "waiting"}
        steps = [step for step in turn.done.plan.steps if step.object in self._asked]
        self._vms = {step.id: step.object for step in steps}
        self._left = {name: {step.id for step in steps if step.object == name} for name in self._asked}
        self._center = turn.done.desired.data_center.uuid
        self._moves = {step.id: step for step in turn.done.plan.steps if step.kind == "migrate-vm"}

    def step_changed(self, outcome: StepOutcome, progress: Progress | None) -> None:
        """A step changed; a store that fails is found out by the plan's own steps."""
        move = self._moves.get(outcome.step)
        if move is not None and outcome.state is StepState.SUCCEEDED:
            with suppress(StoreError):
                self._store.requests.follow_move(self._center, move.object, move.args["run"])
        vm = self._vms.get(outcome.step)
        if vm is not None and progress is None and outcome.state is StepState.SUCCEEDED:
            self._succeeded(vm, outcome.step)
        if self._other is not None:
            self._other.step_changed(outcome, progress)

    def _succeeded(self, vm: str, step: str) -> None:
        self._left[vm].discard(step)
        with suppress(StoreError):
            if not self._left[vm]:
                self._store.requests.answer(self._asked[vm].intent.id, "done")
            elif step == _written(vm):
                self._store.requests.answer(self._asked[vm].intent.id, "taken")


def _written(vm: str) -> str:
    """The step that writes an intent into the VM's record."""
    return f"{vm}#update-record"


def has_requests(store: Store, desired: Desired, under_way: Collection[str]) -> bool:
    """Whether an intent waits that has not been put off, and that no plan under way is about (ids); a store that cannot
    be read is found out by the next turn."""
    with suppress(StoreError):
        requests = store.requests.open(desired.data_center.uuid)
        return any(
            one.state == "waiting" and not one.detail and one.intent.id not in under_way for one in requests
        )
    return False
