"""One step from its journal `begin` to its `end`: evidence looked at again, order sent, followed, its fate found out.

Only the transport is repeated, with the same key and order, until the step's timeout; never the effect.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nodeagent.wire.orders import Order, OrderResult, Progress, Refusal
from reconciler.agentlink.protocol import AgentLink, AgentLinkError, Fleet, OrderRefusedError
from reconciler.execution.arriving import await_destination
from reconciler.execution.fate import POLL_MS, RETRY_S, Fate, fate_of, find_out
from reconciler.execution.leases import LeaseLostError, Leases
from reconciler.execution.orders import Secrets, SecretUnavailableError, make_order, order_key
from reconciler.execution.rechecking import Hosts, recheck
from reconciler.model.outcome import StepOutcome, StepState
from reconciler.model.plan import Step
from reconciler.store.journal import BegunStep, Journal, JournalError

MARGIN_S = 15.0
"""How long after a step's timeout its end is still awaited, and how long its fate is looked for."""

SILENT_S = 3.0
"""How long a host may not answer before that is told."""
SILENT = "does not answer"

_TRANSIENT = frozenset({"busy", "no-lease"})
"""Refusals that go away by themselves: another order of the object ends, the lease is renewed after a restart."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a step ended, as the journal has it; stop: why nothing more may be started, empty if it may."""

    outcome: StepOutcome
    settled: bool = True
    stop: str = ""


class Delivery:
    """Carries out steps of one apply. progress: called with a step and how far it is. most_migrations: at once, by
    host."""

    def __init__(
        self,
        *,
        apply_id: str,
        data_center: str,
        fleet: Fleet,
        hosts: Hosts,
        leases: Leases,
        journal: Journal,
        secrets: Secrets,
        digest_key: bytes,
        most_migrations: Mapping[str, int],
        progress: Callable[[Step, Progress | None], None],
    ) -> None:
        self._apply_id = apply_id
        self._data_center = data_center
        self._fleet = fleet
        self._hosts = hosts
        self._leases = leases
        self._journal = journal
        self._secrets = secrets
        self._digest_key = digest_key
        self._most_migrations = most_migrations
        self._progress = progress

    async def carry_out(self, step: Step, outputs: Mapping[str, Mapping[str, Any]]) -> Ending:
        """One step, whole. outputs: of the steps that succeeded. Never raises for what hosts or stores do."""
        began_s = _now()
        try:
            order = await self._prepare(step, outputs)
        except LeaseLostError as error:
            stop = str(error) if error.taken_over else ""
            return Ending(_failed(step, str(error), "nothing was done"), stop=stop)
        except _NotStartedError as error:
            return Ending(_failed(step, str(error), error.action))
        begun = BegunStep(
            self._apply_id, step.id, order.key, step.host, step.object, step.kind, self._data_center
        )
        try:
            self._journal.begin(begun, _now_ms())
        except JournalError as error:
            return Ending(StepOutcome(step.id, StepState.SKIPPED, cause=str(error)), stop=str(error))
        fate = await self._deliver(step, order)
        elapsed_ms = round((_now() - began_s) * 1000)
        outcome = replace(fate.outcome, elapsed_ms=elapsed_ms, ledger=order.ledger_id)
        stop = self._leases.taken_over
        try:
            self._journal.end(begun, outcome, _now_ms(), settled=fate.settled)
        except JournalError as error:
            stop = str(error)
        return Ending(outcome, fate.settled, stop)

    async def _prepare(self, step: Step, outputs: Mapping[str, Mapping[str, Any]]) -> Order:
        """Every lease, the evidence read again, the order. Raises LeaseLostError, _NotStartedError."""
        for host in sorted({step.host, *step.leases}):
            await self._leases.ensure(host)
        if step.kind == "migrate-vm":
            closed = await await_destination(step, self._fleet, self._hosts, self._most_migrations)
            if closed:
                raise _NotStartedError(f"its guest cannot come: {closed}", "observe and plan anew")
        objection = await recheck(step, self._fleet, self._hosts)
        if objection:
            raise _NotStartedError(
                f"its evidence does not hold any more: {objection}", "observe and plan anew"
            )
        try:
            return make_order(
                step,
                key=order_key(self._apply_id, step.id),
                data_center=self._data_center,
                lease=await self._leases.ensure(step.host),
                now_s=_now(),
                outputs=outputs,
                secrets=self._secrets,
                digest_key=self._digest_key,
            )
        except SecretUnavailableError as error:
            raise _NotStartedError(str(error), "nothing was done") from error
        except LookupError as error:
            raise _NotStartedError(
                f"no earlier step gave {error}", "report this fault of the planner"
            ) from error

    async def _deliver(self, step: Step, order: Order) -> Fate:
        """Send until there is an answer or the time is over, then follow to the end."""
        link, end_s, unclear = self._fleet[step.host], _now() + step.timeout_ms / 1000, False
        last, silence = "nobody answered in time", _Silence(step.host, end_s)
        while True:
            asked_s = _now()
            try:
                await self._leases.ensure(step.host)
                async with asyncio.timeout_at(end_s):
                    result = await link.order(order)
            except LeaseLostError as error:
                return await self._give_up(step, order, unclear=unclear, why=str(error))
            except OrderRefusedError as error:
                if not await self._passes(step, error.refusal):
                    return await self._give_up(step, order, unclear=unclear, refusal=error.refusal)
                last = str(error)
            except (AgentLinkError, TimeoutError) as error:
                unclear, last = True, str(error) or last
                if told := silence.tell(asked_s):
                    self._progress(step, told)
            else:
                return await self._follow(step, order, link, result)
            if _now() + RETRY_S > end_s:
                return await self._give_up(step, order, unclear=unclear, why=last)
            await asyncio.sleep(RETRY_S)

    async def _passes(self, step: Step, refusal: Refusal) -> bool:
        """Whether a refused order may be sent again, because nothing was done and the reason goes away."""
        if refusal.reason == "no-lease":
            await self._leases.renew(step.host)
        return refusal.reason in _TRANSIENT

    async def _give_up(
        self, step: Step, order: Order, *, unclear: bool, why: str = "", refusal: Refusal | None = None
    ) -> Fate:
        """The end of sending. If every copy of the order was refused nothing was done, else it must be found out."""
        if refusal is not None and refusal.reason in ("held", "stale-epoch"):
            await self._leases.renew(step.host)
        if unclear:
            return await self._find_out(step, order)
        if refusal is not None:
            return Fate(_failed(step, refusal.summary, refusal.action))
        return Fate(
            _failed(step, f"the order was not taken: {why}", "nothing was done; observe and plan anew")
        )

    async def _follow(self, step: Step, order: Order, link: AgentLink, result: OrderResult) -> Fate:
        """Wait for the end of an order that was taken; past its timeout and a margin it is cancelled."""
        end_s = _now() + step.timeout_ms / 1000 + MARGIN_S
        silence = _Silence(step.host, end_s)
        while result.state in ("accepted", "running") and _now() < end_s:
            self._progress(step, silence.told or result.progress)
            asked_s = _now()
            wait_ms = max(0, min(POLL_MS, round((end_s - asked_s) * 1000)))
            try:
                async with asyncio.timeout_at(end_s):
                    answer = await link.follow(order.key, wait_ms)
            except (AgentLinkError, TimeoutError):
                silence.tell(asked_s)
                await asyncio.sleep(RETRY_S)
                continue
            silence = _Silence(step.host, end_s)
            if answer is None:  # the agent has lost its ledger, and with it this order
                break
            result = answer
        return fate_of(step.id, result) or await self._find_out(step, order)

    async def _find_out(self, step: Step, order: Order) -> Fate:
        try:
            lease = await self._leases.ensure(step.host)
        except LeaseLostError:
            lease = None
        link = self._fleet[step.host]
        return await find_out(link, step.id, order.key, lease, limit_s=MARGIN_S, cancel=True)


class _Silence:
    """A host that does not answer while a step of it goes on, told once it has lasted SILENT_S. end_s: until when it is
    waited for."""

    def __init__(self, host: str, end_s: float) -> None:
        self.told: Progress | None = None
        self._host = host
        self._end_s = end_s
        self._since_s: float | None = None

    def tell(self, asked_s: float) -> Progress | None:
        """It was asked then, and has not answered; what to tell of that, the same as long as it lasts."""
        now_s = _now()
        self._since_s = asked_s if self._since_s is None else self._since_s
        if self.told is None and now_s - self._since_s >= SILENT_S:
            left_s = max(0, round(self._end_s - now_s))
            self.told = Progress(f"{self._host} {SILENT}; it is waited for at most {left_s} s more")
        return self.told


class _NotStartedError(Exception):
    """A step must not start; nothing was sent."""

    def __init__(self, message: str, action: str) -> None:
        super().__init__(message)
        self.action = action


def _failed(step: Step, summary: str, action: str = "") -> StepOutcome:
    return StepOutcome(step.id, StepState.FAILED, summary, action)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _now_ms() -> int:
    return round(_now() * 1000)
