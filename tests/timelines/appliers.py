"""An applier in virtual time: the real loop, executor and store over simulated links, which may die at any journal line.

A killed applier does nothing more, as a killed process: no answer reaches it, no lease is given up, no line is written.
Timelines and the explorer of faults stand on it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from nodeagent.wire.orders import Progress
from reconciler.agentlink.protocol import AgentLinkError, Fleet
from reconciler.execution.run import Applier
from reconciler.keeping import Keeper, Means
from reconciler.loop import Estate, Turn, carry_out, look_settled
from reconciler.model.desired import Desired
from reconciler.model.outcome import StepOutcome, StepState
from reconciler.model.plan import Plan
from reconciler.model.reports import HostOffProof, StorageReport
from reconciler.observing.proofs import find_open_runs
from reconciler.pausing import Pace
from reconciler.planfile.text import headline
from reconciler.simulation.link import SimulatedLink
from reconciler.simulation.world import World
from reconciler.store.journal import Journal
from reconciler.store.store import Store, open_memory_store

POLL_MS = 5_000
QUIET = (StepState.RUNNING, StepState.SUCCEEDED)


class Wire:
    """One process's end of a link. When the process is dead nothing goes out and nothing comes back."""

    def __init__(self, link: SimulatedLink, process: "Process") -> None:
        self._link = link
        self._process = process

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._link, name)

        async def call(*args: Any, **named: Any) -> Any:
            await self._process.live()
            try:
                result = await method(*args, **named)
            except AgentLinkError:
                await self._process.live()
                raise
            await self._process.live()
            return result

        return call

    async def changes(self) -> AsyncIterator[int]:
        """The stream of generations."""
        async for generation in self._link.changes():
            await self._process.live()
            yield generation


@dataclass(slots=True)
class Process:
    """A process that may be killed. deadly_line: it dies directly after so many more journal lines; 0: it does not."""

    deadly_line: int = 0
    dead: bool = False
    task: "asyncio.Task[Any] | None" = None

    async def live(self) -> None:
        """Returns at once in a living process, and never in a dead one."""
        if self.dead:
            await asyncio.Event().wait()

    def kill(self) -> None:
        """Nothing more happens."""
        self.dead = True
        if self.task is not None:
            self.task.cancel()

    def count_line(self) -> None:
        """A journal line is durable."""
        if self.deadly_line:
            self.deadly_line -= 1
            if self.deadly_line == 0:
                self.kill()


class MortalJournal(Journal):
    """The store's journal, in a process that may be killed."""

    def __init__(self, journal: Journal, process: Process, died: Callable[[], None]) -> None:
        self.__dict__.update(journal.__dict__)
        self._process = process
        self._died = died

    def _write(self, *args: Any, **named: Any) -> None:
        if self._process.dead:
            raise asyncio.CancelledError
        super()._write(*args, **named)
        self._process.count_line()
        if self._process.dead:
            self._died()
            raise asyncio.CancelledError


class StoppableKeeper(Keeper):
    """A loop in a process that can be stopped, as by SIGSTOP, between two turns."""

    def __init__(self, applier: "SimulatedApplier", means: Means) -> None:
        super().__init__(applier, means)
        self._applier = applier

    async def _turn(self, *args: Any) -> Turn | None:
        await self._applier.going.wait()
        return await super()._turn(*args)


@dataclass
class SimulatedApplier:
    """One applier by name. store, holder: lost and made anew by `lose_store`."""

    name: str
    world: World
    links: Mapping[str, SimulatedLink]
    desired: Callable[[], Desired]
    period_s: float | None = None
    store: Store = field(default_factory=open_memory_store)
    stores: int = 1
    process: Process = field(default_factory=Process)
    going: asyncio.Event = field(default_factory=asyncio.Event)
    last: str = ""

    def note(self, what: str) -> None:
        self.world.note(self.name, what)

    @property
    def holder(self) -> str:
        return self.name if self.stores == 1 else f"{self.name} with store {self.stores}"

    @property
    def running(self) -> bool:
        task = self.process.task
        return task is not None and not task.done() and not self.process.dead

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """A new process with the same store. Raises AssertionError while one runs."""
        assert not self.running, f"{self.name} runs already"
        self.process = Process(self.process.deadly_line if not self.process.dead else 0)
        self.process.task = asyncio.get_running_loop().create_task(self._run(work))
        self.going.set()

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        with suppress(asyncio.CancelledError):
            await work

    def kill(self) -> None:
        self.process.kill()
        self.note("is killed")

    def lose_store(self) -> None:
        """The store is deleted; another one is another holder."""
        assert not self.running, f"{self.name} runs"
        self.store.close()
        self.store, self.stores = open_memory_store(), self.stores + 1
        self.note("loses its store")

    def confirm_off(self, host: str) -> None:
        """A person says that a host is off."""
        desired = self.desired()
        center, uuid = desired.data_center.uuid, desired.hosts[host].uuid
        seen = [StorageReport(one.uuid, None, contents=one.contents()) for one in self.world.storage.values()]
        runs = tuple(sorted(find_open_runs(center, seen).get(uuid, ())))
        self.store.confirmations.add(center, HostOffProof(uuid, "confirmed", runs, "a person"))
        self.note(f"is told that {host} is off")

    def _applier(self, *, takeover: bool = False) -> Applier:
        return Applier(self.holder, takeover=takeover, wallclock=lambda: self.world.wallclock_ms)

    def estate(self, *, takeover: bool = False) -> Estate:
        """The data center as this process reaches it."""
        self._wrap_journal()
        return Estate(self.desired(), self._fleet(), self.store, self._applier(takeover=takeover))

    async def apply(self, *, takeover: bool = False) -> Turn:
        """One turn, as `ostler apply --yes` takes it."""
        self.last, estate = "", self.estate(takeover=takeover)
        turn = await look_settled(estate)
        turn = await carry_out(estate, turn, self._watch(turn))
        self._tell(turn)
        return turn

    async def apply_once(self, *, takeover: bool = False) -> None:
        """The same, as a process of its own."""
        await self.apply(takeover=takeover)

    async def keep(self) -> None:
        """The loop of `ostler run`, looking once a period and whenever an agent reports a change."""
        assert self.period_s is not None
        pace = Pace(interval_ms=round(self.period_s * 1000), poll_ms=POLL_MS)
        means = Means(
            self.store,
            self._applier(),
            self._open_fleet,
            self._tell,
            self.note,
            pace,
            watch=self._watch,
            cpu_s=lambda: 0.0,
        )
        self._wrap_journal()
        await StoppableKeeper(self, means).keep()

    def current(self) -> Desired:
        """Manifests, as the keeper reads them."""
        return self.desired()

    @asynccontextmanager
    async def _open_fleet(self, _desired: Desired) -> AsyncIterator[Fleet]:
        yield self._fleet()

    def _fleet(self) -> Fleet:
        return {name: Wire(link, self.process) for name, link in self.links.items()}  # type: ignore[misc]

    def _wrap_journal(self) -> None:
        journal = self.store.journal
        if not isinstance(journal, MortalJournal) or journal._process is not self.process:
            self.store.journal = MortalJournal(journal, self.process, lambda: self.note("is killed"))

    def _watch(self, turn: Turn) -> "SimulatedApplier":
        for one in turn.settled:
            verb = "settles" if one.fate.settled else "cannot settle"
            self.note(
                f"{verb} {one.step.step_id}: {one.fate.outcome.state}, {one.fate.outcome.summary or 'done'}"
            )
        self._show(turn.done.plan)
        return self

    def step_changed(self, outcome: StepOutcome, progress: Progress | None) -> None:
        """What did not go well; what did is told by the hosts."""
        if progress is None and outcome.state not in QUIET:
            why = outcome.summary or f"because of {outcome.cause}"
            self.note(f"{outcome.state} {outcome.step}: {why}")

    def _tell(self, turn: Turn) -> None:
        for objection in turn.objections:
            self.note(f"refused: {objection.summary}")
        if turn.outcome is not None:
            states = [one.state.value for one in turn.outcome.steps.values()]
            counts = ", ".join(f"{states.count(one)} {one}" for one in sorted(set(states)))
            stopped = turn.outcome.interrupted or turn.outcome.refused
            self.note(f"ends: {counts or 'nothing done'}{f'; {stopped}' if stopped else ''}")

    def _show(self, plan: Plan) -> None:
        """The plan in short; the same one again is not worth a line."""
        lines = [f"plans {headline(plan)}"]
        lines += [f"blocked {one.object}: {one.reason}" for one in plan.blocked]
        lines += [f"deferred {one.object}: {one.reason}" for one in plan.deferred]
        if "\n".join(lines) != self.last:
            for line in lines:
                self.note(line)
        self.last = "\n".join(lines)
