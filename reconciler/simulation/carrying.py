"""One order in a simulated agent: from its entry in the ledger to its result there, in the time that such work takes.

`link` starts it as a task. What an agent does ends with its life: a power cut or a restart of the agent leaves the
order without a result, and the next start of the agent looks after it. Only a migration goes on without the agent.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from nodeagent.wire.arguments import MigrateVm, StartVm
from nodeagent.wire.codec import ContractError, arguments_of
from nodeagent.wire.orders import Order, OrderResult
from reconciler.simulation.effects import take_effect
from reconciler.simulation.faults import Faults
from reconciler.simulation.guests import (
    begin_migration,
    boot_claimed,
    claim_start,
    drop_incoming,
    end_migration,
    keep_digests,
    records_of,
)
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.storage import SimulationFault
from reconciler.simulation.world import World

MIB = 2**20
OUTGOING = 2
"""Migrations that leave one host at once, whoever ordered them."""

USUAL_S = 0.2
DURATIONS_S = {
    "start-vm": 2.0,
    "stop-vm": 5.0,
    "reboot-vm": 8.0,
    "create-disk": 0.5,
    "connect-storage-domain": 0.5,
}
"""How long work takes on the lab's hosts, roughly."""


class LifeEndedError(Exception):
    """The agent's life ended in the middle."""


@dataclass(slots=True)
class Carrying:
    """What one agent carries out. running: tasks by key; cancelled: keys of migrations that are to stop."""

    world: World
    host: SimulatedHost
    faults: Faults
    running: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    outgoing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OUTGOING))

    def begin(self, order: Order) -> None:
        """Writes the ledger, then lets the order take its time."""
        self.host.keep_order(order)
        self.running[order.key] = asyncio.get_running_loop().create_task(self._carry_out(order))

    async def _carry_out(self, order: Order) -> None:
        life = self.host.life
        try:
            outputs = await self._work(order)
            result = OrderResult(order.key, "succeeded", generation=self.host.generation, outputs=outputs)
        except LifeEndedError:
            return
        except (SimulationFault, ContractError) as fault:
            action = "look at the host, then plan again"
            result = OrderResult(order.key, "failed", str(fault), action, self.host.generation)
        if self.host.life == life or order.kind == "migrate-vm":
            self._record(order, result)

    def _record(self, order: Order, result: OrderResult) -> None:
        """The first result counts, and a lost ledger gets none."""
        entry = self.host.ledger.get(order.key)
        if entry is not None and entry.order is not None and entry.result.state == "running":
            entry.result = result
            self.host.changed()

    async def _work(self, order: Order) -> dict[str, Any]:
        """The effect, and what it gives. Raises SimulationFault, ContractError, LifeEndedError."""
        arguments = arguments_of(order)
        if isinstance(arguments, MigrateVm):
            self.faults.fail(self.host.id, order)
            boots = self.host.boots
            async with self.outgoing:
                return await self._migrate(order, arguments, boots)
        if isinstance(arguments, StartVm):
            return await self._start(order, arguments)
        self.faults.fail(self.host.id, order)
        await self._spend_time(order)
        self.world.count_effect(order.key)
        return take_effect(self.world, self.host, order.kind, arguments, order.key, order.secret_digests)

    async def _spend_time(self, order: Order) -> None:
        """Waits as long as such work takes, at most until the order's time is over."""
        life, limit_s = self.host.life, order.timeout_ms / 1000
        needed_s = self.faults.duration_s(order, DURATIONS_S.get(order.kind, USUAL_S))
        await asyncio.sleep(min(needed_s, limit_s))
        if self.host.life != life or not self.host.powered:
            raise LifeEndedError
        if needed_s > limit_s:
            raise SimulationFault(f"it was not done within {limit_s:g} s")

    async def _start(self, order: Order, wanted: StartVm) -> dict[str, Any]:
        """Claims the run, then starts; a start that fails closes it again."""
        claim_start(self.world, self.host, wanted, order.key)
        self.host.changed()
        try:
            await self._spend_time(order)
            self.faults.fail(self.host.id, order)
        except SimulationFault:
            records_of(self.world, self.host, wanted.master).close_run(
                wanted.config.uuid, wanted.config.run, "failed", order.key
            )
            raise
        self.world.count_effect(order.key)
        outputs = boot_claimed(self.world, self.host, wanted)
        keep_digests(self.host, wanted, order.secret_digests)
        self.host.changed()
        self.world.note(self.host.id, f"start-vm {order.key.partition('/')[2]}")
        return outputs

    async def _migrate(self, order: Order, wanted: MigrateVm, boots: int) -> dict[str, Any]:
        """Both ends of a migration, unless the host was lost before; the VM stays exactly once somewhere."""
        if not self.host.powered or self.host.boots != boots:
            raise LifeEndedError
        self.world.count_effect(order.key)
        destination = begin_migration(self.world, self.host, wanted, order.key)
        target_boots = destination.boots
        memory = self.host.guests[wanted.vm].config.memory.current_bytes
        usual_s = 0.5 + memory / (wanted.bandwidth_mib_per_s * MIB)
        needed_s, limit_s = self.faults.duration_s(order, usual_s), wanted.timeout_ms / 1000
        await asyncio.sleep(min(needed_s, limit_s))
        if not self.host.powered or self.host.boots != boots:
            drop_incoming(self.world, wanted)
            raise LifeEndedError
        failed = self.faults.migration_fails(order) or order.key in self.cancelled or needed_s > limit_s
        connected = self.host.reachable and destination.answers and destination.boots == target_boots
        end_migration(self.world, self.host, wanted, moved=connected and not failed)
        if wanted.vm in self.host.guests or not connected or failed:
            raise SimulationFault("the migration did not succeed; the guest stays at its source")
        return {}
