"""A plan carried out: steps start when their edges are satisfied, until all have ended or the run is stopped.

Commands, the loop and the simulation call it with an admitted plan; it reports outcomes and never plans.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from nodeagent.wire.facts import HostState
from nodeagent.wire.orders import Progress
from reconciler.agentlink.protocol import Fleet
from reconciler.execution.delivery import Delivery, Ending
from reconciler.execution.leases import Leases
from reconciler.execution.orders import Secrets, no_secrets
from reconciler.execution.ready import ReadySet, Skipped
from reconciler.execution.rechecking import Hosts
from reconciler.execution.renewals import Signer
from reconciler.execution.slots import Slots
from reconciler.model.outcome import ApplyOutcome, StepOutcome, StepState
from reconciler.model.plan import MIGRATIONS_LIMIT, Plan, Step
from reconciler.store.applies import ApplyState
from reconciler.store.database import StoreError
from reconciler.store.store import Store


class Watcher(Protocol):
    """Sees every change of a step while a plan runs."""

    def step_changed(self, outcome: StepOutcome, progress: Progress | None) -> None:
        """A step began, is so far (progress), ended, or will not begin."""
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """An admitted plan's names. body: the plan file's text, kept in the store. apply_id is new for each apply."""

    apply_id: str
    plan_id: str
    digest: str
    body: str


@dataclass(frozen=True, slots=True)
class Site:
    """The agents, by host object id: links, uuids, and the states that admission saw."""

    fleet: Fleet
    uuids: Mapping[str, str]
    states: Mapping[str, HostState]


@dataclass(frozen=True, slots=True)
class Applier:
    """In whose name orders are given, and what only it may know. holder: the same over restarts of one store.

    wallclock: ours, in ms since 1970; without one nothing is purged. signer: makes certificates of hosts anew, if the
    authorities are here.
    """

    holder: str
    digest_key: bytes = field(default=b"", repr=False)
    secrets: Secrets = no_secrets
    takeover: bool = False
    wallclock: Callable[[], int] | None = None
    signer: Signer | None = None


@dataclass(frozen=True, slots=True)
class RunLimits:
    """orders_per_host: at once. failures: of steps of one kind, after which nothing more is started."""

    orders_per_host: int = 8
    failures: int = 3


class PlanRun:
    """One apply. The caller holds `store.exclusive()` and has settled what earlier applies left.

    beside: a run that goes on, whose leases and limits of hosts it shares; no step of the two is about one object.
    """

    def __init__(
        self,
        plan: Plan,
        ticket: Ticket,
        *,
        site: Site,
        applier: Applier,
        store: Store,
        watcher: Watcher | None = None,
        limits: RunLimits | None = None,
        beside: "PlanRun | None" = None,
    ) -> None:
        self.ended = asyncio.Event()
        self._plan = plan
        self._ticket = ticket
        self._site = site
        self._store = store
        self._watcher = watcher
        self._limits = limits or RunLimits()
        hosts = Hosts(site.uuids, applier.wallclock)
        self._slots = beside.slots if beside is not None else Slots()
        self._ready = ReadySet(plan.steps, plan.limits, self._limits.orders_per_host, hosts.ids, self._slots)
        self._leases = (
            beside.leases
            if beside is not None
            else Leases(
                site.fleet,
                data_center=plan.data_center_uuid,
                holder=applier.holder,
                epoch_above=max((state.lease.epoch for state in site.states.values()), default=0),
                takeover=applier.takeover,
            )
        )
        self._delivery = Delivery(
            apply_id=ticket.apply_id,
            data_center=plan.data_center_uuid,
            fleet=site.fleet,
            hosts=hosts,
            leases=self._leases,
            journal=store.journal,
            secrets=applier.secrets,
            digest_key=applier.digest_key,
            most_migrations=plan.limits.get(MIGRATIONS_LIMIT, {}),
            progress=self._show_progress,
        )
        self._outcomes: dict[str, StepOutcome] = {}
        self._outputs: dict[str, Mapping[str, Any]] = {}
        self._failures: Counter[str] = Counter()
        self._stop = self._spent = self._fault = self._interrupted = ""

    @property
    def leases(self) -> Leases:
        """Those by which it orders."""
        return self._leases

    @property
    def apply_id(self) -> str:
        """Its name in the store."""
        return self._ticket.apply_id

    @property
    def slots(self) -> Slots:
        """What hosts have under way for it and for runs beside it."""
        return self._slots

    def waiting_steps(self) -> list[Step]:
        """Steps that have not started, in plan order."""
        return self._ready.waiting_steps()

    def running_steps(self) -> list[Step]:
        """Steps that have started and not ended, in plan order."""
        running = {name for name, one in self._outcomes.items() if one.state is StepState.RUNNING}
        return [step for step in self._plan.steps if step.id in running]

    def open_steps(self) -> list[Step]:
        """Steps that have not succeeded so far, in plan order."""
        done = {name for name, one in self._outcomes.items() if one.state is StepState.SUCCEEDED}
        return [step for step in self._plan.steps if step.id not in done]

    def withdraw(self, name: str, why: str) -> None:
        """Start no step of an object any more; what depends on one is skipped."""
        withdrawn, skipped = self._ready.withdraw(name)
        for step in withdrawn:
            self._tell(StepOutcome(step.id, StepState.WITHDRAWN, why))
        self._skip(skipped)

    def stop(self, reason: str) -> None:
        """Start no more steps; those that run are finished. The first reason counts."""
        self._stop = self._stop or reason

    def waiting(self) -> dict[str, str]:
        """What each step that has not started waits for."""
        return self._ready.waiting()

    async def run(self) -> ApplyOutcome:
        """Carry the plan out. Nothing is raised for what hosts, agents or the store do; the outcome tells."""
        ticket, plan = self._ticket, self._plan
        try:
            self._store.applies.admit(
                ticket.apply_id, ticket.plan_id, ticket.digest, plan.data_center_uuid, ticket.body
            )
        except StoreError as error:
            return ApplyOutcome(
                ticket.apply_id, ticket.plan_id, refused=f"the plan cannot be recorded: {error}"
            )
        async with self._leases.kept():
            hosts = {host for step in plan.steps for host in (step.host, *step.leases)}
            await self._leases.acquire(hosts, self._site.states)
            refused = self._leases.taken_over
            if not refused:
                await self._run_steps()
            self.ended.set()
        outcome = ApplyOutcome(ticket.apply_id, ticket.plan_id, self._outcomes, self._interrupted, refused)
        return self._record_end(outcome)

    async def _run_steps(self) -> None:
        tasks: dict[asyncio.Task[Ending], Step] = {}
        try:
            with self._slots.watched() as freed:
                while self._start_steps(tasks):
                    await _first_of(tasks, freed)
                    for task in [one for one in tasks if one.done()]:
                        self._end(tasks.pop(task), task.result())
        finally:
            for task in tasks:
                task.cancel()
        why = self._stop or self._spent
        given_up = self._ready.give_up(why)
        self._interrupted = self._fault or (why if given_up else "")
        self._skip(given_up)

    def _start_steps(self, tasks: dict[asyncio.Task[Ending], Step]) -> bool:
        """Start what may start now. Returns whether there is something to wait for."""
        self._heed_stop()
        for step in () if self._stop else self._ready.take(only_protective=bool(self._spent)):
            self._tell(StepOutcome(step.id, StepState.RUNNING))
            tasks[asyncio.create_task(self._delivery.carry_out(step, self._outputs))] = step
        held = not self._stop and self._ready.held_by_others(only_protective=bool(self._spent))
        return bool(tasks) or held

    def _heed_stop(self) -> None:
        """Look whether another process asked for the end of this apply; a store that fails ends it too."""
        if self._stop:
            return
        try:
            self.stop(self._store.applies.stop_requested(self._ticket.apply_id))
        except StoreError as error:
            self.stop(str(error))

    def _end(self, step: Step, ending: Ending) -> None:
        outcome = ending.outcome
        succeeded = outcome.state is StepState.SUCCEEDED
        if succeeded:
            self._outputs[step.id] = outcome.outputs
        elif outcome.state is not StepState.SKIPPED:
            self._count_failure(step)
        if ending.stop:
            self._fault = self._fault or ending.stop
            self.stop(ending.stop)
        self._tell(outcome)
        self._skip(self._ready.end(step.id, succeeded=succeeded, settled=ending.settled))

    def _count_failure(self, step: Step) -> None:
        """Like failures stop the plan: what went wrong three times will go wrong again. Protective work goes on."""
        if step.protective:
            return
        self._failures[step.kind] += 1
        if self._failures[step.kind] >= self._limits.failures:
            self._spent = self._spent or f"{self._failures[step.kind]} steps of kind {step.kind} failed"

    def _skip(self, skipped: list[Skipped]) -> None:
        for one in skipped:
            self._tell(StepOutcome(one.step.id, StepState.SKIPPED, cause=one.cause))

    def _tell(self, outcome: StepOutcome) -> None:
        self._outcomes[outcome.step] = outcome
        if self._watcher is not None:
            self._watcher.step_changed(outcome, None)

    def _show_progress(self, step: Step, progress: Progress | None) -> None:
        if self._watcher is not None:
            self._watcher.step_changed(self._outcomes[step.id], progress)

    def _record_end(self, outcome: ApplyOutcome) -> ApplyOutcome:
        """Keep how the apply ended; if the store cannot, the next start finds it interrupted and settles it."""
        with suppress(StoreError):
            self._store.applies.end(
                outcome.apply_id, _state_of(outcome), outcome.interrupted or outcome.refused
            )
        return outcome


async def _first_of(tasks: Iterable[asyncio.Task[Ending]], freed: asyncio.Event) -> None:
    """Until one of our steps ends, or another plan's does, which may let one of ours start."""
    freed.clear()
    freeing = asyncio.create_task(freed.wait())
    try:
        await asyncio.wait({*tasks, freeing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        freeing.cancel()


def _state_of(outcome: ApplyOutcome) -> ApplyState:
    if outcome.interrupted or outcome.refused:
        return "interrupted"
    return "achieved" if outcome.achieved else "failed"
