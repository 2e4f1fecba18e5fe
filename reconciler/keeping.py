"""Keeps a data center as it is declared: turns of the wheel for ever, woken by what agents report, by new manifests, by
intents of other commands, and by the clock. `ostler run` and the controller call it.

Level-triggered: what wakes it says only that it is time to look; every turn decides from what it finds.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.agentlink.gathering import GatherLimits
from reconciler.agentlink.protocol import AgentLink, AgentLinkError, Fleet
from reconciler.asked import Listening, accept, answer_ended, answer_unplanned, has_requests, put_off
from reconciler.beside import Beside
from reconciler.execution.company import Going, holds_of
from reconciler.execution.run import Applier, Watcher
from reconciler.loop import Estate, Turn, look_settled, plan_reports
from reconciler.model.desired import Desired
from reconciler.model.options import EVERYTHING, PassOptions
from reconciler.pausing import Pace, Pauses
from reconciler.store.database import StoreError
from reconciler.store.journal import JournalError
from reconciler.store.requests import Request
from reconciler.store.store import Store

LOOKS_REST = 4
"""While plans are carried out, looking at a large estate takes no more than a fifth of the time."""


class Manifests(Protocol):
    """Where desired state comes from."""

    def current(self) -> Desired | None:
        """The last state that could be accepted of this data center; None if it is not declared any more."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a keeper works with. tell: is given each turn; complain: what went wrong with one, as text; watch: is given
    each turn before its plan is carried out, and says who watches that; cpu_s: CPU seconds that this process has used."""

    store: Store
    applier: Applier
    open_fleet: Callable[[Desired], AbstractAsyncContextManager[Fleet]]
    tell: Callable[[Turn], None]
    complain: Callable[[str], None]
    pace: Pace = field(default_factory=Pace)
    options: PassOptions = field(default_factory=PassOptions)
    watch: Callable[[Turn], Watcher | None] = lambda _turn: None
    cpu_s: Callable[[], float] = time.process_time


class Keeper:
    """One data center's loop; `stop` ends it after the turn that runs."""

    def __init__(self, manifests: Manifests, means: Means) -> None:
        self._manifests = manifests
        self._means = means
        self._woken = asyncio.Event()
        self._stopping = False
        self._pauses = Pauses()
        self._accepted: Desired | None = None
        self._previous: Turn | None = None
        self._fleet: Fleet = {}
        self._addresses: object = None
        self._under_way: frozenset[str] = frozenset()
        self._looked_at_s = 0.0

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
        self.stop()
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
            if not self._stopping:
                await self._wait(desired)

    async def _turn(self, desired: Desired, fleet: Fleet, previous: Turn | None) -> Turn | None:
        """One turn with the intents that wait; a store that fails ends it, and the next one tries again."""
        self._fleet, self._previous = fleet, previous
        self._desired, self._addresses = desired, addresses_of(desired)
        try:
            estate, requests = self._estate(desired, ())
            turn = replace(await look_settled(estate, previous), requests=requests)
            estate, turn = self._or_accepted(estate, turn)
            beside = Beside(turn.gathered, self)
            turn = await beside.carry_out(estate, turn)
            if turn.outcome is not None:
                self._woken.set()  # more may follow from what was done
            return replace(turn, gathered=beside.gathered)
        except (StoreError, JournalError) as error:
            self.complain(str(error))
            self._pauses.note(None, desired)
            return None

    def now(self, going: tuple[Going, ...]) -> tuple[Estate, tuple[Request, ...]]:
        """The data center as manifests declare it now, over the links that there are; and intents."""
        self._desired = self._manifests.current() or self._desired
        return self._estate(self._desired, going)

    def needs_end(self) -> bool:
        """Whether hosts have other addresses than the links."""
        return addresses_of(self._desired) != self._addresses

    def _estate(self, desired: Desired, going: tuple[Going, ...]) -> tuple[Estate, tuple[Request, ...]]:
        """With what persons ask, unless failures hold everything back, and without what plans under way are about."""
        means = self._means
        requests = accept(means.store, desired, self._previous)
        hold = None if requests else self._pauses.hold(desired)
        self._under_way = frozenset(intent for one in going for intent in one.intents)
        planned = _put_off(means.store, requests, going, desired, self._under_way) if going else requests
        waiting = {one.vm: one.intent for one in planned if one.state == "waiting"}
        options = replace(means.options, intents=waiting, only_protective=hold)
        limits = GatherLimits(period_ms=means.pace.interval_ms)
        estate = Estate(
            desired, self._fleet, means.store, means.applier, options, limits, self._pauses.failed_ms()
        )
        return estate, tuple(planned)

    def accept(self, desired: Desired) -> None:
        """These manifests are not blocked as a whole."""
        self._accepted = desired

    def accepted(self) -> Desired | None:
        """The last manifests that were not blocked as a whole."""
        return self._accepted

    def begins(self, turn: Turn) -> Watcher | None:
        """A plan is about to be carried out; who asked for something hears of it as it goes on."""
        return Listening(self._means.store, turn, self._means.watch(turn))

    def ended(self, turn: Turn) -> None:
        """A plan has ended, or was not begun: asked is answered, failures are counted, and it is told."""
        store = self._means.store
        answer_ended(store, turn, answer_unplanned(store, turn, turn.requests))
        self._pauses.note(turn, self._desired)
        self._means.tell(turn)

    def complain(self, text: str) -> None:
        """The store failed."""
        self._means.complain(text)

    async def pause(self, over: asyncio.Event) -> bool:
        """While plans are carried out: until the interval is over, or sooner if manifests are new, something is asked,
        or agents report a change; whether to look again. Nothing is looked at while the data center is not declared."""
        pace, now = self._means.pace, asyncio.get_running_loop().time
        rest_s = LOOKS_REST * (self._means.cpu_s() - self._looked_at_s) if self._looked_at_s else 0.0
        began_s = now()
        while not self._stopping and not over.is_set():
            await _either(over, pace.calm_ms)
            passed_s, declared = now() - began_s, self._manifests.current()
            due = passed_s * 1000 >= pace.interval_ms or self._has_reason(declared)
            if due and declared is not None and passed_s >= rest_s:
                break
        self._woken.clear()
        self._looked_at_s = self._means.cpu_s()
        return not self._stopping and not over.is_set()

    def _has_reason(self, declared: Desired | None) -> bool:
        """Whether there is a reason to look before the interval is over."""
        asked = has_requests(self._means.store, self._desired, self._under_way)
        return self._woken.is_set() or declared is not self._desired or asked

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
        return former, replace(turn, done=plan_reports(former, turn.gathered.reports), requests=())

    async def _wait(self, desired: Desired) -> None:
        """Until the next turn is due, or something happens. Without a store only new manifests and intents shorten
        the wait: nothing can be done."""
        pace, passed_ms = self._means.pace, 0
        due_ms = self._pauses.due_ms(self._means.store, pace, desired)
        while passed_ms < due_ms and not self._stopping:
            step_ms = min(pace.poll_ms, due_ms - passed_ms)
            if self._pauses.blind:
                await asyncio.sleep(step_ms / 1000)
            elif await self._sleep(step_ms):
                await asyncio.sleep(pace.calm_ms / 1000)
                return
            passed_ms += step_ms
            if self._manifests.current() is not desired or has_requests(self._means.store, desired, ()):
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


def _put_off(
    store: Store,
    requests: Sequence[Request],
    going: tuple[Going, ...],
    desired: Desired,
    under_way: frozenset[str],
) -> Sequence[Request]:
    """Intents of VMs of which something new may be planned beside these plans."""
    holds = holds_of(going, desired)
    return put_off(store, requests, desired.vms if holds.ground else holds.objects, under_way)


async def _either(event: asyncio.Event, limit_ms: int) -> None:
    """Until something is over, or the time is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_ms / 1000):
            await event.wait()


def addresses_of(desired: Desired) -> object:
    """What links depend on: every host with its uuid and address."""
    return {name: (host.uuid, host.address, host.port) for name, host in desired.hosts.items()}
