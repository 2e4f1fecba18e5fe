"""Keeps a data center as it is declared: turns of the wheel for ever, woken by what agents report, by new manifests, by
intents of other commands, and by the clock. `ostler run` and the controller call it.

Level-triggered: what wakes it says only that it is time to look; every turn decides from what it finds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from reconciler.agentlink.gathering import GatherLimits
from reconciler.agentlink.protocol import AgentLink, AgentLinkError, Fleet
from reconciler.execution.remembering import attempts_at, failed_objects, find_retries, pause_ms
from reconciler.execution.run import Applier, PlanRun, Watcher
from reconciler.loop import Estate, Turn, carry_out, look_settled, plan_reports, protect_beside
from reconciler.model.change import Deferred
from reconciler.model.desired import Desired
from reconciler.model.intents import contradiction, run_number
from reconciler.model.options import EVERYTHING, PassOptions
from reconciler.model.outcome import StepState
from reconciler.model.quantities import format_duration
from reconciler.store.database import StoreError
from reconciler.store.journal import JournalError
from reconciler.store.requests import Request
from reconciler.store.store import Store

WAIT_ALONE = ("vm/", "disk/")
"""Prefixes of objects whose failures delay nothing but their own next attempt."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Milliseconds. interval: between passes when nothing happens; calm: after something happened, because more
    follows; poll: how often manifests and intents are looked for; listen: before a broken stream is opened again."""

    interval_ms: int = 10_000
    calm_ms: int = 1_000
    poll_ms: int = 1_000
    listen_ms: int = 5_000


class Manifests(Protocol):
    """Where desired state comes from."""

    def current(self) -> Desired | None:
        """The last state that could be accepted of this data center; None if it is not declared any more."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a keeper works with. tell: is given each turn; complain: what went wrong with one, as text; watch: is given
    each turn before its plan is carried out, and says who watches that."""

    store: Store
    applier: Applier
    open_fleet: Callable[[Desired], AbstractAsyncContextManager[Fleet]]
    tell: Callable[[Turn], None]
    complain: Callable[[str], None]
    pace: Pace = Pace()
    options: PassOptions = field(default_factory=PassOptions)
    watch: Callable[[Turn], Watcher | None] = lambda _turn: None


@dataclass(slots=True)
class Pauses:
    """What a loop waits for after failures, in the event loop's time.

    A VM or disk that failed waits by itself. Whatever else went wrong holds everything but protective work, ever
    longer: failures in a row, the manifests they happened with, and until when. blind: the store failed.
    """

    failed_at_s: dict[str, float] = field(default_factory=dict)
    failures: int = 0
    desired: Desired | None = None
    until_s: float = 0.0
    blind: bool = False

    def note(self, turn: Turn | None, desired: Desired) -> None:
        """A turn has ended; None: the store failed."""
        now_s = asyncio.get_running_loop().time()
        self.blind = turn is None
        if turn is None or holds_up(turn):
            self.failures += 1
            self.until_s, self.desired = now_s + pause_ms(self.failures) / 1000, desired
        elif now_s >= self.until_s or desired is not self.desired:
            self.failures, self.until_s = 0, 0.0
        if turn is not None and turn.outcome is not None:
            self.failed_at_s |= dict.fromkeys(failed_objects(turn.done.plan, turn.outcome), now_s)

    def failed_ms(self) -> dict[str, int]:
        """How long ago objects failed."""
        now_s = asyncio.get_running_loop().time()
        return {name: round((now_s - at_s) * 1000) for name, at_s in self.failed_at_s.items()}

    def hold(self, desired: Desired) -> Deferred | None:
        """What holds all but protective work now; new manifests end it."""
        left_ms = self._held_ms()
        if left_ms <= 0 or desired is not self.desired:
            return None
        return Deferred(
            desired.data_center.meta.id,
            "the last pass failed; until the next one only VMs that failed are started again",
            f"it comes, in {format_duration(left_ms)}",
        )

    def due_ms(self, means: Means, desired: Desired) -> int:
        """How long until the next turn, if nothing happens before."""
        pace = means.pace
        if self.blind:
            return max(pause_ms(self.failures), pace.calm_ms)
        with suppress(StoreError):
            retries = find_retries(attempts_at(means.store, desired), self.failed_ms()).values()
            soonest = [one.left_ms for one in retries] + [one for one in (self._held_ms(),) if one > 0]
            return max(pace.calm_ms, min([pace.interval_ms, *soonest]))
        return pace.interval_ms

    def _held_ms(self) -> int:
        return round((self.until_s - asyncio.get_running_loop().time()) * 1000)


def holds_up(turn: Turn) -> bool:
    """Whether what went wrong in a turn lets everything wait: its plan was refused or stopped, or it was no VM's or
    disk's own matter."""
    if turn.objections or turn.outcome is None:
        return bool(turn.objections)
    wrong = failed_objects(turn.done.plan, turn.outcome)
    stopped = bool(turn.outcome.refused or turn.outcome.interrupted)
    return stopped or any(not name.startswith(WAIT_ALONE) for name in wrong)


class Keeper:
    """One data center's loop; `stop` ends it after the turn that runs."""

    def __init__(self, manifests: Manifests, means: Means) -> None:
        self._manifests = manifests
        self._means = means
        self._woken = asyncio.Event()
        self._stopping = False
        self._pauses = Pauses()
        self._accepted: Desired | None = None

    def stop(self) -> None:
        """End after the present turn, whose running steps are finished."""
        self._stopping = True
        self._woken.set()

    async def keep(self) -> None:
        """Turn after turn, until it is stopped."""
        while not self._stopping:
            desired = self._manifests.current()
            if desired is None:
                await self._sleep(self._means.pace.poll_ms)
                continue
            async with self._means.open_fleet(desired) as fleet, self._listening(fleet):
                await self._keep_with(fleet, addresses_of(desired))

    async def turn_once(self) -> Turn | None:
        """A single turn; None if the data center is not declared, or the store failed."""
        desired = self._manifests.current()
        if desired is None:
            return None
        async with self._means.open_fleet(desired) as fleet:
            return await self._turn(desired, fleet, None)

    async def _keep_with(self, fleet: Fleet, addresses: object) -> None:
        """Turns over the same links, until hosts have others."""
        previous: Turn | None = None
        while not self._stopping:
            desired = self._manifests.current()
            if desired is None or addresses_of(desired) != addresses:
                return
            self._woken.clear()
            turn = await self._turn(desired, fleet, previous)
            previous = turn or previous
            self._pauses.note(turn, desired)
            if not self._stopping:
                await self._wait(desired)

    async def _turn(self, desired: Desired, fleet: Fleet, previous: Turn | None) -> Turn | None:
        """One turn with the intents that wait; a store that fails ends it, and the next one tries again."""
        means = self._means
        try:
            requests = accept(means.store, desired, previous)
            waiting = {one.vm: one.intent for one in requests if one.state == "waiting"}
            hold = None if requests else self._pauses.hold(desired)
            options = replace(means.options, intents=waiting, only_protective=hold)
            limits = GatherLimits(period_ms=means.pace.interval_ms)
            failed_ms = self._pauses.failed_ms()
            estate = Estate(desired, fleet, means.store, means.applier, options, limits, failed_ms)
            estate, turn = self._or_accepted(estate, await look_settled(estate, previous))
            guard = partial(self._guard, estate, turn)
            turn = await carry_out(estate, turn, means.watch(turn), guard)
            if estate.options.only_protective is None:
                answer(means.store, turn, requests)
        except (StoreError, JournalError) as error:
            means.complain(str(error))
            return None
        means.tell(turn)
        return turn

    def _or_accepted(self, estate: Estate, turn: Turn) -> tuple[Estate, Turn]:
        """The turn; or, if these manifests are blocked as a whole, one that restarts VMs after failures by the last
        manifests that were not."""
        center, uuid = estate.desired.data_center.meta.id, estate.desired.data_center.uuid
        paused = estate.store.pauses.reasons(uuid).keys() & {center, EVERYTHING}
        whole = next((one for one in turn.done.plan.blocked if one.object == center), None)
        if whole is None or paused:
            self._accepted = estate.desired if whole is None else self._accepted
            return estate, turn
        if self._accepted is None:
            return estate, turn
        options = replace(estate.options, intents={}, only_protective=whole)
        former = replace(estate, desired=self._accepted, options=options)
        return former, replace(turn, done=plan_reports(former, turn.gathered.reports))

    async def _guard(self, estate: Estate, turn: Turn, run: PlanRun) -> None:
        """While a plan runs, looks as often as between passes for VMs that fail, and restarts them."""
        means, gathered = self._means, turn.gathered
        while not self._stopping and not await _ends_within(run.ended, means.pace.interval_ms):
            try:
                gathered, other = await protect_beside(estate, run, gathered, means.watch)
            except (StoreError, JournalError) as error:
                means.complain(str(error))
                continue
            if other is not None:
                means.tell(other)

    async def _wait(self, desired: Desired) -> None:
        """Until the next turn is due, or something happens. Without a store only new manifests and intents shorten
        the wait: nothing can be done."""
        pace, passed_ms = self._means.pace, 0
        due_ms = self._pauses.due_ms(self._means, desired)
        while passed_ms < due_ms and not self._stopping:
            step_ms = min(pace.poll_ms, due_ms - passed_ms)
            if self._pauses.blind:
                await asyncio.sleep(step_ms / 1000)
            elif await self._sleep(step_ms):
                await asyncio.sleep(pace.calm_ms / 1000)
                return
            passed_ms += step_ms
            if self._manifests.current() is not desired or _has_requests(self._means.store, desired):
                return

    async def _sleep(self, limit_ms: int) -> bool:
        """Whether it was woken before the time was over."""
        try:
            async with asyncio.timeout(limit_ms / 1000):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True

    @asynccontextmanager
    async def _listening(self, fleet: Fleet) -> AsyncIterator[None]:
        """While the block runs, every change that an agent reports wakes the loop."""
        tasks = [asyncio.create_task(self._listen(link)) for link in fleet.values()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, link: AgentLink) -> None:
        seen = -1
        while True:
            with suppress(AgentLinkError):
                async for generation in link.changes():
                    if generation != seen:
                        self._woken.set()
                    seen = generation
            await asyncio.sleep(self._means.pace.listen_ms / 1000)


async def _ends_within(event: asyncio.Event, limit_ms: int) -> bool:
    """Whether something was over before the time was."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_ms / 1000):
            await event.wait()
    return event.is_set()


def addresses_of(desired: Desired) -> object:
    """What links depend on: every host with its uuid and address."""
    return {name: (host.uuid, host.address, host.port) for name, host in desired.hosts.items()}


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


def answer(store: Store, turn: Turn, requests: Sequence[Request]) -> None:
    """Says what became of intents in this turn: an intent that was written is taken, and ends with its VM's steps."""
    states = turn.outcome.steps if turn.outcome else {}
    for one in requests:
        steps = [step for step in turn.done.plan.steps if step.object == one.vm]
        ends = [states[step.id] for step in steps if step.id in states]
        written = states.get(f"{one.vm}#update-record")
        blocked = next((found for found in turn.done.plan.blocked if found.object == one.vm), None)
        if one.state == "waiting" and not steps:
            why = f"{blocked.reason}; {blocked.action}" if blocked else "it is not possible now"
            store.requests.answer(one.intent.id, "refused", why)
        elif one.state == "waiting" and (written is None or written.state is not StepState.SUCCEEDED):
            continue
        elif wrong := [end for end in ends if end.state in (StepState.FAILED, StepState.UNKNOWN)]:
            store.requests.answer(one.intent.id, "failed", wrong[0].summary)
        elif len(ends) == len(steps) and all(end.state is StepState.SUCCEEDED for end in ends):
            store.requests.answer(one.intent.id, "done")
        else:
            store.requests.answer(one.intent.id, "taken")


def _has_requests(store: Store, desired: Desired) -> bool:
    """Whether an intent waits; a store that cannot be read is found out by the next turn."""
    with suppress(StoreError):
        return any(one.state == "waiting" for one in store.requests.open(desired.data_center.uuid))
    return False
