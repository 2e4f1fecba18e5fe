"""Carries out a plan, and while it goes on looks about as often as between passes: VMs that fail are restarted, and
whatever the plans under way are not about is planned and carried out beside them. The keeper gives it each plan.
"""

import asyncio
from dataclasses import replace
from typing import Protocol

from reconciler.agentlink.gathering import Gathered
from reconciler.execution.company import Going, Holds, held_for_taking, holds_of
from reconciler.execution.run import PlanRun, Watcher
from reconciler.loop import Estate, Turn, admit, listen, plan_reports, prepare_run, remember, settle_others
from reconciler.model.change import Deferred
from reconciler.model.desired import Desired
from reconciler.pipeline import Pass
from reconciler.store.database import StoreError
from reconciler.store.journal import JournalError
from reconciler.store.requests import Request

FAILED = "it failed meanwhile, and is restarted first"
ONLY_RESTARTS = "a plan is being carried out; meanwhile only VMs that fail are started again"
MOST_WAIT_S = 60.0
"""How long something waits for the end of all plans before no more of them are begun."""


class Owner(Protocol):
    """What the keeper does for the plans of its data center."""

    def now(self, going: tuple[Going, ...]) -> tuple[Estate, tuple[Request, ...]]:
        """The data center as it is declared now, and intents of VMs that no plan under way holds."""
        ...

    def needs_end(self) -> bool:
        """Whether something that only the keeper does waits for the end of all plans."""
        ...

    def accepted(self) -> Desired | None:
        """The last manifests that were not blocked as a whole."""
        ...

    def accept(self, desired: Desired) -> None:
        """These manifests are not blocked as a whole."""
        ...

    def begins(self, turn: Turn) -> Watcher | None:
        """A plan was made; who watches it, if it is carried out."""
        ...

    def ended(self, turn: Turn) -> None:
        """A plan has ended, or was not begun for want of steps or by refusal."""
        ...

    def complain(self, text: str) -> None:
        """The store failed."""
        ...

    async def pause(self, over: asyncio.Event) -> bool:
        """Until it is time to look again: true; false as soon as all is over, or no more is to begin."""
        ...


class Beside:
    """The plans of a data center that are carried out at the same time, under the same leases."""

    def __init__(self, gathered: Gathered, owner: Owner) -> None:
        self.gathered = gathered
        self._owner = owner
        self._going: dict[asyncio.Task[Turn], Going] = {}
        self._over = asyncio.Event()
        self._waits_since_s: float | None = None

    async def carry_out(self, estate: Estate, turn: Turn) -> Turn:
        """The first plan, and all that is made until none is under way any more. Returns the first one's turn with how
        it ended. Raises StoreError, JournalError."""
        turn = admitted(estate, turn)
        if turn.objections or not turn.done.plan.steps:
            self._owner.begins(turn)
            self._owner.ended(turn)
            return turn
        first = self._begin(estate, turn)
        try:
            while await self._owner.pause(self._over):
                await self._look_safely()
            while self._going:
                await asyncio.wait(self._going)
        finally:
            for task in self._going:
                task.cancel()
        return first.result()

    def _begin(self, estate: Estate, turn: Turn) -> asyncio.Task[Turn]:
        """Carry out an admitted plan, under the leases of those under way."""
        beside = next((one.run for one in self._going.values()), None)
        run = prepare_run(estate, turn.done.plan, turn.done, self._owner.begins(turn), beside_run=beside)
        task = asyncio.create_task(self._carry(estate, turn, run))
        self._going[task] = Going(run, turn.done, frozenset(one.intent.id for one in turn.requests))
        task.add_done_callback(self._forget)
        return task

    async def _carry(self, estate: Estate, turn: Turn, run: PlanRun) -> Turn:
        outcome = await run.run()
        remember(estate, turn.done.plan, outcome)
        ended = replace(turn, outcome=outcome)
        try:
            self._owner.ended(ended)
        except (StoreError, JournalError) as error:
            self._owner.complain(str(error))
        return ended

    def _forget(self, task: asyncio.Task[Turn]) -> None:
        self._going.pop(task, None)
        if not self._going:
            self._over.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._owner.complain(f"a plan came to an unexpected end: {error!r}")

    async def _look_safely(self) -> None:
        try:
            await self._look()
        except (StoreError, JournalError) as error:
            self._owner.complain(str(error))

    async def _look(self) -> None:
        """One observation, and what is planned on it: restarts, or else what no plan under way is about."""
        going = tuple(self._going.values())
        estate, requests = self._owner.now(going)
        before = holds_of(going, estate.desired)
        self.gathered = await listen(estate, self.gathered)
        await self._settle(estate)
        going = tuple(self._going.values())
        holds = holds_of(going, estate.desired).or_before(before)
        if going and not self._protect(estate, going, holds):
            self._plan_rest(estate, requests, holds)

    async def _settle(self, estate: Estate) -> None:
        """What became of orders of plans that have ended, if their hosts tell it now."""
        going = tuple(self._going.values())
        under_way = {one.run.apply_id for one in going}
        if going and await settle_others(estate, self.gathered, going[0].run.leases, under_way):
            self.gathered = await listen(estate, self.gathered)

    def _protect(self, estate: Estate, going: tuple[Going, ...], holds: Holds) -> bool:
        """Restart VMs that failed, once what other plans have waiting for them is withdrawn. Whether there are any."""
        center = estate.desired.data_center.meta.id
        why = estate.options.only_protective or Deferred(center, ONLY_RESTARTS, "its end")
        options = replace(
            estate.options, intents={}, only_protective=why,
            locked=holds.from_protection, claims=holds.claims, closed=holds.closed,
        )  # fmt: skip
        beside = replace(estate, options=options)
        done = plan_reports(beside, self.gathered.reports)
        former = self._owner.accepted()
        if _blocked_as_a_whole(done) and former is not None:
            beside = replace(beside, desired=former)
            done = plan_reports(beside, self.gathered.reports)
        if not done.plan.steps:
            return False
        turn = admitted(beside, Turn(self.gathered, done))
        if turn.objections:
            self._owner.ended(turn)
            return True
        for name in sorted({step.object for step in done.plan.steps}):
            for one in going:
                one.run.withdraw(name, FAILED)
        self._begin(beside, turn)
        return True

    def _plan_rest(self, estate: Estate, requests: tuple[Request, ...], holds: Holds) -> None:
        """Plan and begin whatever the plans under way are not about and do not change the ground of."""
        if estate.options.only_protective or holds.ground:
            return
        done = self._plan(estate, holds, {})
        taking = held_for_taking(done.plan.steps)
        kept_back = taking or any(one.object in holds.needed for one in done.plan.deferred)
        if self._waited_enough(bool(kept_back) or self._owner.needs_end()):
            return
        if taking:
            done = self._plan(estate, holds, taking)
        if not _blocked_as_a_whole(done):
            self._owner.accept(estate.desired)
        turn = admitted(estate, Turn(self.gathered, done, requests=requests))
        if turn.objections or not done.plan.steps:
            self._owner.ended(turn)
        else:
            self._begin(estate, turn)

    def _plan(self, estate: Estate, holds: Holds, taking: dict[str, str]) -> Pass:
        options = replace(
            estate.options, locked={**holds.objects, **taking}, claims=holds.claims, closed=holds.closed
        )
        return plan_reports(replace(estate, options=options), self.gathered.reports)

    def _waited_enough(self, waits: bool) -> bool:
        """Whether something has waited so long for the end of all plans that no more are begun."""
        now_s = asyncio.get_running_loop().time()
        if not waits:
            self._waits_since_s = None
        elif self._waits_since_s is None:
            self._waits_since_s = now_s
        return self._waits_since_s is not None and now_s - self._waits_since_s >= MOST_WAIT_S


def admitted(estate: Estate, turn: Turn) -> Turn:
    """The turn, with why its plan may not be carried out, if so."""
    plan = turn.done.plan
    return replace(turn, objections=admit(estate, plan, turn.done)) if plan.steps else turn


def _blocked_as_a_whole(done: Pass) -> bool:
    center = done.desired.data_center.meta.id
    return any(one.object == center for one in done.plan.blocked)
