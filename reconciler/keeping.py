"""Keeps a data center as it is declared: turns of the wheel for ever, woken by what agents report, by new manifests, by
intents of other commands, and by the clock. `ostler run` and the controller call it.

Level-triggered: what wakes it says only that it is time to look; every turn decides from what it finds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.agentlink.gathering import GatherLimits
from reconciler.agentlink.protocol import AgentLink, AgentLinkError, Fleet
from reconciler.execution.run import Applier, Watcher
from reconciler.loop import Estate, Turn, carry_out, look_settled, pause_ms
from reconciler.model.desired import Desired
from reconciler.model.intents import contradiction, run_number
from reconciler.model.outcome import StepState
from reconciler.pipeline import PassOptions
from reconciler.store.database import StoreError
from reconciler.store.journal import JournalError
from reconciler.store.requests import Request
from reconciler.store.store import Store


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


class Keeper:
    """One data center's loop; `stop` ends it after the turn that runs."""

    def __init__(self, manifests: Manifests, means: Means) -> None:
        self._manifests = manifests
        self._means = means
        self._woken = asyncio.Event()
        self._stopping = False
        self._failures = 0

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
            self._failures = self._failures + 1 if turn is None or failed(turn) else 0
            if not self._stopping:
                await self._wait(desired)

    async def _turn(self, desired: Desired, fleet: Fleet, previous: Turn | None) -> Turn | None:
        """One turn with the intents that wait; a store that fails ends it, and the next one tries again."""
        means = self._means
        try:
            requests = accept(means.store, desired, previous)
            options = replace(
                means.options, intents={one.vm: one.intent for one in requests if one.state == "waiting"}
            )
            limits = GatherLimits(period_ms=means.pace.interval_ms)
            estate = Estate(desired, fleet, means.store, means.applier, options, limits)
            turn = await look_settled(estate, previous)
            turn = await carry_out(estate, turn, means.watch(turn))
            answer(means.store, turn, requests)
        except (StoreError, JournalError) as error:
            means.complain(str(error))
            return None
        means.tell(turn)
        return turn

    async def _wait(self, desired: Desired) -> None:
        """Until the next turn is due. After a failure only new manifests and intents shorten the pause: what agents
        report may well be the failure itself."""
        pace, passed_ms = self._means.pace, 0
        due_ms = max(pause_ms(self._failures), pace.calm_ms) if self._failures else pace.interval_ms
        while passed_ms < due_ms and not self._stopping:
            step_ms = min(pace.poll_ms, due_ms - passed_ms)
            if self._failures:
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


def addresses_of(desired: Desired) -> object:
    """What links depend on: every host with its uuid and address."""
    return {name: (host.uuid, host.address, host.port) for name, host in desired.hosts.items()}


def failed(turn: Turn) -> bool:
    """Whether a turn did not do what it planned."""
    return bool(turn.objections) or (turn.outcome is not None and not turn.outcome.achieved)


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
