"""A simulated agent behind the AgentLink Protocol: facts, leases, orders and revocations, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from nodeagent.wire.arguments import StartVm
from nodeagent.wire.codec import ContractError, arguments_of
from nodeagent.wire.facts import HostState, HostStatistics, StorageContents
from nodeagent.wire.orders import LeaseGrant, LeaseRequest, Order, OrderResult, Refusal, Resync, Revocation
from nodeagent.wire.records import VmRecord
from reconciler.agentlink.protocol import AnswerRefusedError, HostUnreachableError, OrderRefusedError
from reconciler.simulation.carrying import Carrying
from reconciler.simulation.faults import Faults
from reconciler.simulation.gates import refuse_holder, refuse_lease, refuse_order
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.world import World

SILENCE_S = 5.0
HOP_S = 0.001


@dataclass(slots=True)
class SimulatedLink:
    """One agent of the world."""

    world: World
    host: SimulatedHost
    faults: Faults
    carrying: Carrying

    async def _arrive(self) -> None:
        """A question reaches the agent, or nobody answers for a while."""
        if not self.host.answers:
            await asyncio.sleep(SILENCE_S)
        if not self.host.answers:
            raise HostUnreachableError(f"{self.host.id} does not answer; look at the host and its network")
        await asyncio.sleep(HOP_S)

    async def _answer(self) -> None:
        """The answer travels back, or is lost."""
        if not self.host.answers or self.faults.lose_answer(self.host.id):
            await self._hear_nothing()

    async def _hear_nothing(self) -> None:
        """The sender waits in vain. Raises HostUnreachableError."""
        await asyncio.sleep(SILENCE_S)
        raise HostUnreachableError(f"{self.host.id} does not answer; look at the host and its network")

    async def state(self, known: HostState | None = None, *, fresh: bool = False) -> HostState | None:
        """The state document; it is always fresh here."""
        del fresh
        await self._arrive()
        if self.faults.refuses.get(self.host.id):
            raise AnswerRefusedError(self.faults.refuses[self.host.id])
        document = self.host.document(
            self.world.now_ms, self.world.storage_facts(self.host), self.world.epoch_ms
        )
        return None if known is not None and _same(known, document) else document

    async def statistics(self) -> HostStatistics:
        """Steady means."""
        await self._arrive()
        return self.host.statistics()

    async def storage(self, uuid: str) -> StorageContents:
        """A connected domain's content."""
        await self._arrive()
        if uuid not in self.host.connected:
            raise AnswerRefusedError(f"{uuid} is not connected on {self.host.id}")
        return self.world.storage[uuid].contents()

    async def changes(self) -> AsyncIterator[int]:
        """Generations, looked at twice a second."""
        seen = -1
        while True:
            await self._arrive()
            if self.host.generation != seen:
                seen = self.host.generation
                yield seen
            await asyncio.sleep(0.5)

    async def lease(self, request: LeaseRequest) -> LeaseGrant:
        """Takes, renews or gives up the right to order."""
        await self._arrive()
        now = self.world.now_ms
        refusal = refuse_lease(self.host, request, now)
        if refusal is not None:
            raise OrderRefusedError(refusal)
        host = self.host
        former, host.epoch, host.holder = host.holder, request.epoch, request.holder
        host.lease_ms, host.lease_until_ms, host.lease_renewed = (
            request.duration_ms,
            now + request.duration_ms,
            True,
        )
        if former not in ("", host.holder):
            self.world.note(host.id, f"obeys {host.holder} from epoch {host.epoch} on, and {former} no more")
        await self._answer()
        return LeaseGrant(host.epoch, host.holder, request.duration_ms, now, host.boot_id, host.ledger_id)

    async def resync(self, resync: Resync) -> None:
        """Lets a new ledger take orders."""
        await self._arrive()
        if resync.ledger_id != self.host.ledger_id or resync.epoch < self.host.epoch:
            raise OrderRefusedError(Refusal("other-ledger", "the ledger is another one", "observe again"))
        if self.host.resync_needed:
            self.world.note(self.host.id, f"has a new ledger, and takes orders from epoch {resync.epoch} on")
        self.host.resync_needed = False
        self.host.changed()

    async def order(self, order: Order) -> OrderResult:
        """Takes an order and begins it; a known key gets its result. One that is held up arrives later all the same."""
        delay_s = self.faults.hold_up(self.host.id, order)
        if delay_s:
            late = self._arrive_late(order, delay_s)
            self.carrying.running[f"late {order.key}"] = asyncio.get_running_loop().create_task(late)
            await self._hear_nothing()
        await self._arrive()
        self._take(order)
        result = self.host.ledger[order.key].result
        await self._answer()
        return result

    async def _arrive_late(self, order: Order, delay_s: float) -> None:
        """Nobody waits for the answer."""
        await asyncio.sleep(delay_s)
        if self.host.answers:
            self.world.note(self.host.id, f"a late order arrives: {order.kind} {order.key.partition('/')[2]}")
            with suppress(OrderRefusedError):
                self._take(order)

    def _take(self, order: Order) -> None:
        """Begins an order unless its key is known. Raises OrderRefusedError."""
        known = self.host.ledger.get(order.key)
        if known is not None and known.order is not None and known.order.digest == order.digest:
            return
        refusal = refuse_order(self.host, order, known, self._record_of(order), self.world.now_ms)
        if refusal is not None:
            step = order.key.partition("/")[2]
            self.world.note(self.host.id, f"refuses {order.kind} {step}: {refusal.summary}")
            raise OrderRefusedError(refusal)
        self.carrying.begin(order)

    def _record_of(self, order: Order) -> VmRecord | None:
        """The record of the VM that an order starts, as it is on storage now."""
        try:
            arguments = arguments_of(order)
        except ContractError:
            return None
        if not isinstance(arguments, StartVm) or arguments.master not in self.host.connected:
            return None
        return self.world.storage[arguments.master].vms.get(arguments.config.uuid)

    async def follow(self, key: str, wait_ms: int) -> OrderResult | None:
        """What became of a key."""
        await self._arrive()
        task = self.carrying.running.get(key)
        if task is not None and not task.done():
            await asyncio.wait({task}, timeout=wait_ms / 1000)
        await self._answer()
        entry = self.host.ledger.get(key)
        return entry.result if entry else None

    async def revoke(self, revocation: Revocation) -> OrderResult:
        """Records that a key never takes effect, and tells what became of it."""
        await self._arrive()
        refusal = refuse_holder(self.host, revocation.holder, revocation.epoch, self.world.now_ms)
        if refusal is not None:
            raise OrderRefusedError(refusal)
        entry = self.host.ledger.get(revocation.key)
        result = entry.result if entry is not None else None
        if result is None or result.state in ("accepted", "unknown"):
            result = self.host.revoke(revocation.key)
            self.world.note(self.host.id, f"revokes {revocation.key.partition('/')[2]}")
        elif result.state == "running" and revocation.cancel:
            self.carrying.cancelled.add(revocation.key)
        await self._answer()
        return result


def _same(known: HostState, document: HostState) -> bool:
    """Whether nothing but clocks differs."""
    return (known.generation, known.agent_start, known.boot_id) == (
        document.generation,
        document.agent_start,
        document.boot_id,
    )


def link_fleet(world: World, faults: Faults | None = None) -> dict[str, SimulatedLink]:
    """A link to every host of the world, by id."""
    shared = faults or Faults()
    return {
        name: SimulatedLink(world, host, shared, Carrying(world, host, shared))
        for name, host in world.hosts.items()
    }
