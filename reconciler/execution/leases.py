"""The right to order agents: taken host by host in id order, renewed while a plan runs, given up at its end.

One epoch for all, above every agent's. Losing a lease never stops an order that was taken; it stops new ones.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from nodeagent.wire.facts import HostState
from nodeagent.wire.orders import LeaseGrant, LeaseRequest, Resync
from reconciler.agentlink.protocol import (
    AgentLink,
    AgentLinkError,
    Fleet,
    HostUnreachableError,
    OrderRefusedError,
)

ROUNDS = 3


class LeaseLostError(Exception):
    """There is no lease of a host, so no order is sent to it.

    taken_over: because another applier has it, or has had it since: this one must stop altogether.
    """

    def __init__(self, message: str, *, taken_over: bool = False) -> None:
        super().__init__(message)
        self.taken_over = taken_over


@dataclass(frozen=True, slots=True)
class LeaseLimits:
    """Milliseconds: how long a lease lasts, how often it is renewed, how long an agent may take to answer."""

    duration_ms: int = 30_000
    renewal_ms: int = 10_000
    answer_ms: int = 5_000


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A grant, and when it was asked for and answered, in the loop's time."""

    grant: LeaseGrant
    asked_s: float
    answered_s: float

    @property
    def until_s(self) -> float:
        """When it ends at the earliest: the agent began to count after it was asked."""
        return self.asked_s + self.grant.remaining_ms / 1000


class Leases:
    """All leases of one applier over one fleet. data_center: uuid. epoch_above: highest epoch that any agent knows."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        data_center: str,
        holder: str,
        epoch_above: int,
        takeover: bool = False,
        limits: LeaseLimits | None = None,
    ) -> None:
        self.epoch = epoch_above + 1
        self.holder = holder
        self._fleet = fleet
        self._data_center = data_center
        self._takeover = takeover
        self._limits = limits or LeaseLimits()
        self._users = 0
        self._renewing: asyncio.Task[None] | None = None
        self._taking = asyncio.Lock()
        self._held: dict[str, HeldLease] = {}
        self._lost: dict[str, LeaseLostError] = {}

    async def acquire(self, hosts: Iterable[str], states: Mapping[str, HostState]) -> Mapping[str, str]:
        """Take the lease of each host, in id order, and resync those whose ledger is new.

        `states`: what was observed of them. Returns, by host, why there is none: that fails only the steps that
        need it; but see `taken_over`. An agent that knows a higher epoch makes all begin again above it.
        """
        async with self._taking:
            wanted = sorted(set(hosts) - set(self._held))
            for _ in range(ROUNDS):
                higher = await self._take_all(wanted)
                if higher < self.epoch:
                    break
                self.epoch, wanted = higher + 1, sorted({*wanted, *self._held})
            for host in () if self.taken_over else wanted:
                if host in self._held and states.get(host) is not None:
                    await self._resync(host, states[host])
            return {host: str(self._lost[host]) for host in wanted if host in self._lost}

    def lease(self, host: str) -> HeldLease:
        """The valid lease of a host. Raises LeaseLostError."""
        held = self._held.get(host)
        if held is not None and _now() < held.until_s:
            return held
        raise self._lost.get(host) or LeaseLostError(f"{host}: its lease has ended")

    async def ensure(self, host: str) -> HeldLease:
        """The valid lease of a host, renewed if it lapsed: with the same epoch nobody had it in between.

        Raises LeaseLostError.
        """
        if host in self._held and _now() >= self._held[host].until_s:
            await self.renew(host)
        return self.lease(host)

    async def renew(self, host: str) -> None:
        """Ask for the same lease again; silence changes nothing, a refusal loses it."""
        try:
            self._held[host] = await self._ask(host)
        except OrderRefusedError as error:
            self._held.pop(host, None)
            self._lost[host] = _lost(host, error)
        except AgentLinkError:
            pass  # the lease goes on until its time is over

    @property
    def taken_over(self) -> str:
        """Why this applier must stop: another one has taken a lease; empty while that is not so."""
        return next((str(error) for _, error in sorted(self._lost.items()) if error.taken_over), "")

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renews all leases while the block runs, and gives them up at the end of the last block, if there are more."""
        self._users += 1
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._keep_renewing())
        try:
            yield
        finally:
            self._users -= 1
            await self._give_all_up()

    async def _give_all_up(self) -> None:
        """Once nobody needs them. Who comes meanwhile waits, and takes them anew."""
        async with self._taking:
            if self._users or self._renewing is None:
                return
            renewing, self._renewing = self._renewing, None
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            held, self._held = sorted(self._held), {}
            await asyncio.gather(*(self._give_up(host) for host in held))

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(self._limits.renewal_ms / 1000)
            await asyncio.gather(*(self.renew(host) for host in sorted(self._held)))

    async def _take_all(self, hosts: Sequence[str]) -> int:
        """Take leases one after the other; returns the highest epoch in the way. Ends where another applier is."""
        higher = 0
        for host in hosts:
            self._lost.pop(host, None)
        for host in hosts:
            higher = max(higher, await self._take(host))
            if self.taken_over and not higher:
                break
        return higher

    async def _take(self, host: str) -> int:
        """Take one lease; returns the epoch that stands in the way, 0 if none does."""
        try:
            self._held[host] = await self._ask(host)
        except OrderRefusedError as error:
            self._held.pop(host, None)
            self._lost[host] = _lost(host, error)
            if error.refusal.reason == "stale-epoch":
                return await self._epoch_of(host)
        except AgentLinkError as error:
            self._held.pop(host, None)
            self._lost[host] = LeaseLostError(f"{host}: no lease, because {error}")
        return 0

    async def _ask(self, host: str) -> HeldLease:
        """Raises AgentLinkError."""
        request = LeaseRequest(
            self._data_center, self.holder, self.epoch, self._limits.duration_ms, self._takeover
        )
        asked_s = _now()
        async with _answering(host, self._limits.answer_ms):
            grant = await self._link(host).lease(request)
        return HeldLease(grant, asked_s, _now())

    async def _epoch_of(self, host: str) -> int:
        try:
            async with _answering(host, self._limits.answer_ms):
                state = await self._link(host).state()
        except AgentLinkError:
            return 0
        return state.lease.epoch if state is not None else 0

    async def _resync(self, host: str, state: HostState) -> None:
        """Let a new ledger take orders, once everything on its host is known."""
        if not state.resync_needed:
            return
        fault = ""
        if not state.guests_complete:
            fault = (
                "its ledger is new, and its guests are not all known yet; wait until libvirt answers there"
            )
        else:
            request = Resync(self._data_center, self.holder, self.epoch, state.ledger_id)
            try:
                async with _answering(host, self._limits.answer_ms):
                    await self._link(host).resync(request)
            except AgentLinkError as error:
                fault = f"its ledger is new, and it could not be resynced: {error}"
        if fault:
            await self._give_up(host)
            self._held.pop(host, None)
            self._lost[host] = LeaseLostError(f"{host}: {fault}")

    async def _give_up(self, host: str) -> None:
        """Best effort: a lease that is not given up ends by itself."""
        request = LeaseRequest(self._data_center, self.holder, self.epoch, 0)
        with suppress(AgentLinkError):
            async with _answering(host, self._limits.answer_ms):
                await self._link(host).lease(request)

    def _link(self, host: str) -> AgentLink:
        """Raises HostUnreachableError for a host without an address."""
        link = self._fleet.get(host)
        if link is None:
            raise HostUnreachableError(f"{host}: no agent's address is known for it")
        return link


def _lost(host: str, error: OrderRefusedError) -> LeaseLostError:
    taken = error.refusal.reason in ("held", "stale-epoch")
    return LeaseLostError(f"{host}: {error}", taken_over=taken)


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def _answering(host: str, limit_ms: int) -> AsyncIterator[None]:
    """Raises HostUnreachableError if the block takes longer."""
    try:
        async with asyncio.timeout(limit_ms / 1000):
            yield
    except TimeoutError as error:
        raise HostUnreachableError(f"{host}: no answer within {limit_ms} ms") from error
