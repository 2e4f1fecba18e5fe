"""A simulated agent behind the AgentLink Protocol: ledger, epoch, lease, order by order, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from nodeagent.wire.arguments import MigrateVm
from nodeagent.wire.codec import ContractError, arguments_of
from nodeagent.wire.facts import HostState, HostStatistics, StorageContents
from nodeagent.wire.orders import (
    LeaseGrant,
    LeaseRequest,
    Order,
    OrderResult,
    Refusal,
    Resync,
    Revocation,
)
from reconciler.agentlink.protocol import AnswerRefusedError, HostUnreachableError, OrderRefusedError
from reconciler.simulation.effects import take_effect
from reconciler.simulation.faults import Faults
from reconciler.simulation.gates import refuse_lease, refuse_order
from reconciler.simulation.guests import begin_migration, end_migration
from reconciler.simulation.host import LedgerEntry, SimulatedHost
from reconciler.simulation.storage import SimulationFault
from reconciler.simulation.world import World

SILENCE_S = 5.0
MIB = 2**20
DURATIONS_S = {
    "start-vm": 2.0,
    "stop-vm": 5.0,
    "reboot-vm": 8.0,
    "create-disk": 0.5,
    "connect-storage-domain": 0.5,
}


@dataclass(slots=True)
class SimulatedLink:
    """One agent of the world."""

    world: World
    host: SimulatedHost
    faults: Faults = field(default_factory=Faults)
    running: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    async def _arrive(self) -> None:
        """A question reaches the agent, or nobody answers for a while."""
        if not self.host.answers:
            await asyncio.sleep(SILENCE_S)
        if not self.host.answers:
            raise HostUnreachableError(f"{self.host.id} does not answer; look at the host and its network")
        await asyncio.sleep(0.001)

    def _answer(self) -> None:
        """The answer travels back, or is lost."""
        if not self.host.answers or self.faults.lose_answer(self.host.id):
            raise HostUnreachableError(f"{self.host.id} does not answer; look at the host and its network")

    async def state(self, known: HostState | None = None, *, fresh: bool = False) -> HostState | None:
        """The state document; it is always fresh here."""
        del fresh
        await self._arrive()
        if self.faults.refuses.get(self.host.id):
            raise AnswerRefusedError(self.faults.refuses[self.host.id])
        document = self.host.document(self.world.now_ms, self.world.storage_facts(self.host))
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
        host.epoch, host.holder = request.epoch, request.holder
        host.lease_until_ms = now + request.duration_ms
        self._answer()
        return LeaseGrant(host.epoch, host.holder, request.duration_ms, now, host.boot_id, host.ledger_id)

    async def resync(self, resync: Resync) -> None:
        """Lets a new ledger take orders."""
        await self._arrive()
        if resync.ledger_id != self.host.ledger_id or resync.epoch < self.host.epoch:
            raise OrderRefusedError(Refusal("other-ledger", "the ledger is another one", "observe again"))
        self.host.resync_needed = False
        self.host.changed()

    async def order(self, order: Order) -> OrderResult:
        """Takes an order and begins it; a known key gets its result."""
        await self._arrive()
        known = self.host.ledger.get(order.key)
        if known is None or known.order is None or known.order.digest != order.digest:
            refusal = refuse_order(self.host, order, known, self.world.now_ms)
            if refusal is not None:
                raise OrderRefusedError(refusal)
            self._begin(order)
        self._answer()
        return self.host.ledger[order.key].result

    def _begin(self, order: Order) -> None:
        """Writes the ledger, then lets the order take its time."""
        stored = replace(order, secrets={})
        self.host.ledger[order.key] = LedgerEntry(stored, OrderResult(order.key, "running"))
        self.host.last_of[order.object] = order.key
        self.host.changed()
        self.running[order.key] = asyncio.get_running_loop().create_task(self._carry_out(order))

    async def _carry_out(self, order: Order) -> None:
        """The order's life; a power cut in between leaves it without an end."""
        boot = self.host.boots
        try:
            self.faults.fail(self.host.id, order)
            if order.kind == "migrate-vm":
                await self._migrate(order, boot)
                result = OrderResult(order.key, "succeeded", generation=self.host.generation)
            else:
                await asyncio.sleep(self.faults.duration_s(order, DURATIONS_S.get(order.kind, 0.2)))
                if self.host.boots != boot or not self.host.powered:
                    self._lost(order.key)
                    return
                outputs = take_effect(self.world, self.host, order.kind, arguments_of(order), order.key)
                result = OrderResult(order.key, "succeeded", generation=self.host.generation, outputs=outputs)
        except (SimulationFault, ContractError) as fault:
            result = OrderResult(
                order.key, "failed", str(fault), "look at the host, then plan again", self.host.generation
            )
        if order.key in self.host.ledger:
            self.host.ledger[order.key].result = result
            self.host.changed()

    def _lost(self, key: str) -> None:
        """After a crash the agent finds the order begun, and cannot tell how far it came."""
        if key in self.host.ledger:
            self.host.ledger[key].result = OrderResult(key, "unknown", "the host was lost in the middle")

    async def _migrate(self, order: Order, boot: int) -> None:
        """Both ends of a migration; whatever happens in between, the VM is exactly once somewhere."""
        args = arguments_of(order)
        assert isinstance(args, MigrateVm)
        destination = begin_migration(self.world, self.host, args, order.key)
        target_boot = destination.boots
        memory = self.host.guests[args.vm].config.memory.current_bytes
        await asyncio.sleep(self.faults.duration_s(order, 0.5 + memory / (args.bandwidth_mib_per_s * MIB)))
        if not self.host.powered or self.host.boots != boot:
            destination.guests.pop(args.vm, None)
            raise SimulationFault("the source was lost in the middle")
        failed = self.faults.migration_fails(order) or order.key in self.cancelled
        arrived = destination.powered and destination.boots == target_boot and destination.reachable
        end_migration(self.world, self.host, args, moved=arrived and not failed)
        if failed or not arrived:
            raise SimulationFault("the migration did not succeed; the guest runs on at its source")

    async def follow(self, key: str, wait_ms: int) -> OrderResult | None:
        """What became of a key."""
        await self._arrive()
        task = self.running.get(key)
        if task is not None and not task.done():
            await asyncio.wait({task}, timeout=wait_ms / 1000)
        self._answer()
        entry = self.host.ledger.get(key)
        return entry.result if entry else None

    async def revoke(self, revocation: Revocation) -> OrderResult:
        """Records that a key never takes effect, and tells what became of it."""
        await self._arrive()
        if revocation.epoch < self.host.epoch:
            raise OrderRefusedError(Refusal("stale-epoch", "a higher epoch was seen", "take the lease anew"))
        entry = self.host.ledger.get(revocation.key)
        if entry is None:
            entry = LedgerEntry(None, OrderResult(revocation.key, "revoked"))
            self.host.ledger[revocation.key] = entry
            self.host.changed()
        elif revocation.cancel:
            self.cancelled.add(revocation.key)
        self._answer()
        return entry.result


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
    return {name: SimulatedLink(world, host, shared) for name, host in world.hosts.items()}
