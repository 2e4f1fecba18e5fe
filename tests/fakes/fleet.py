"""Agents in memory: the gates and ledger of a real one, scripted results, losses and delays, a log of effects.

With a file they outlive the process that talks to them, as real agents do.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nodeagent.wire.codec import convert, order_digest, to_plain
from nodeagent.wire.facts import (
    GuestFacts,
    HostCapabilities,
    HostState,
    HostStatistics,
    LeaseFacts,
    OrderFacts,
    StorageContents,
    StorageDomainFacts,
)
from nodeagent.wire.orders import (
    LeaseGrant,
    LeaseRequest,
    Order,
    OrderResult,
    OrderState,
    Progress,
    Refusal,
    RefusalReason,
    Resync,
    Revocation,
)
from reconciler.agentlink.protocol import (
    AgentLinkError,
    AnswerRefusedError,
    HostUnreachableError,
    OrderRefusedError,
)

DATA_CENTER = "11111111-2222-4333-8444-555555555500"
RTT_S = 0.001


def uuid_of(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


@dataclass(slots=True)
class Script:
    """What happens to an order. never_arrives, answers_lost: how many deliveries. refusals: given first."""

    state: OrderState = "succeeded"
    summary: str = ""
    seconds: float = 0.1
    never_arrives: int = 0
    answers_lost: int = 0
    refusals: list[RefusalReason] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    effect: bool = True


@dataclass(slots=True)
class Entry:
    digest: str
    object: str
    result: OrderResult
    done: "asyncio.Event | None" = None


@dataclass(slots=True)
class FakeAgent:
    """One agent, implementing AgentLink. silent: nobody answers; fault: what it answers instead."""

    id: str
    uuid: str
    boot_id: str = uuid_of(0xB007)
    ledger_id: str = uuid_of(0x1ED6E4)
    silent: bool = False
    slow_s: float = 0.0
    fault: AgentLinkError | None = None
    resync_needed: bool = False
    guests: list[str] = field(default_factory=list)
    incoming: list[str] = field(default_factory=list)
    open_orders: list[OrderFacts] = field(default_factory=list)
    maintenance: bool = False
    processes: list[str] = field(default_factory=list)
    guests_complete: bool = True
    storage_domains: dict[str, StorageContents | AgentLinkError] = field(default_factory=dict)
    scripts: dict[str, Script] = field(default_factory=dict)
    epoch: int = 0
    holder: str = ""
    lease_until_s: float = 0.0
    lease_valid: bool = False
    generation: int = 1
    ledger: dict[str, Entry] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    file: Path | None = None
    after_effect: Callable[[str], None] = lambda _step: None
    before_order: Callable[[Order], None] = lambda _order: None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def effects(self) -> list[str]:
        """Keys in the order in which they took effect."""
        return [line.removeprefix("effect ") for line in self.log if line.startswith("effect ")]

    async def state(self, known: HostState | None = None, *, fresh: bool = False) -> HostState | None:
        await self._arrive("state fresh" if fresh else "state")
        state = self.document()
        return None if known is not None and not fresh and known.generation == state.generation else state

    def document(self) -> HostState:
        now = _now()
        return HostState(
            host_uuid=self.uuid,
            boot_id=self.boot_id,
            agent_start=uuid_of(1),
            agent_version="0.1.0",
            generation=self.generation,
            boottime_ms=self._boottime_ms(),
            wallclock_ms=0,
            ledger_id=self.ledger_id,
            lease=LeaseFacts(self.epoch, self.holder, max(0, round((self.lease_until_s - now) * 1000))),
            capabilities=HostCapabilities(2**34, 8, 4, 1, kvm=True),
            data_center=DATA_CENTER,
            resync_needed=self.resync_needed,
            maintenance=self.maintenance,
            guests=(
                *(GuestFacts(uuid, uuid, "running", managed=True) for uuid in self.guests),
                *(GuestFacts(uuid, uuid, "incoming", managed=True) for uuid in self.incoming),
            ),
            orders=tuple(self.open_orders),
            guests_complete=self.guests_complete,
            processes=tuple(self.processes),
            storage=tuple(
                StorageDomainFacts(uuid, "active", master=False, version=5) for uuid in self.storage_domains
            ),
        )

    async def statistics(self) -> HostStatistics:
        await self._arrive("statistics")
        return HostStatistics(self.uuid, self.boot_id)

    async def storage(self, uuid: str) -> StorageContents:
        await self._arrive("storage")
        found = self.storage_domains[uuid]
        if isinstance(found, AgentLinkError):
            raise found
        return found

    async def changes(self) -> AsyncIterator[int]:
        while True:
            yield self.generation
            await asyncio.sleep(5)

    async def lease(self, request: LeaseRequest) -> LeaseGrant:
        await self._arrive("give-up" if request.duration_ms == 0 else f"lease {request.epoch}")
        held = self.holder != request.holder and _now() < self.lease_until_s
        if held and not request.takeover:
            raise refused("held", f"{self.holder} holds this host")
        if request.epoch < self.epoch or (request.epoch == self.epoch and request.holder != self.holder):
            raise refused("stale-epoch", f"epoch {request.epoch} is not above {self.epoch}")
        self.epoch, self.holder, self.lease_valid = request.epoch, request.holder, True
        self.lease_until_s = _now() + request.duration_ms / 1000
        self._save()
        return LeaseGrant(
            self.epoch, self.holder, request.duration_ms, self._boottime_ms(), self.boot_id, self.ledger_id
        )

    async def order(self, order: Order) -> OrderResult:
        step = order.key.partition("/")[2]
        script = self.scripts.get(step, Script())
        if script.never_arrives:
            script.never_arrives -= 1
            raise HostUnreachableError(f"{self.id}: lost on its way")
        await self._arrive(f"order {step}")
        self.before_order(order)
        self.orders.append(order)
        entry = self.ledger.get(order.key)
        if entry is None:
            self._refuse(order, script)
            entry = self.ledger[order.key] = Entry(
                order.digest, order.object, OrderResult(order.key, "accepted"), asyncio.Event()
            )
            self._save()
            task = asyncio.create_task(self._work(order, script, entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif entry.result.state == "revoked":
            raise refused("revoked", "revoked before it came")
        await self._wait(entry, 1.0)
        if script.answers_lost:
            script.answers_lost -= 1
            raise HostUnreachableError(f"{self.id}: the answer was lost")
        return entry.result

    async def follow(self, key: str, wait_ms: int) -> OrderResult | None:
        await self._arrive("follow")
        entry = self.ledger.get(key)
        if entry is not None:
            await self._wait(entry, wait_ms / 1000)
        return entry.result if entry else None

    async def revoke(self, revocation: Revocation) -> OrderResult:
        await self._arrive(f"revoke {revocation.key.partition('/')[2]}")
        self._refuse_right(revocation.holder, revocation.epoch)
        entry = self.ledger.get(revocation.key)
        if entry is not None and entry.result.state in ("running", "succeeded", "failed"):
            return entry.result
        result = OrderResult(revocation.key, "revoked", "revoked")
        self.ledger[revocation.key] = Entry("", "", result)
        self._save()
        return result

    async def resync(self, resync: Resync) -> None:
        await self._arrive("resync")
        if resync.epoch < self.epoch:
            raise refused("stale-epoch", "too low")
        self.resync_needed = False

    async def _work(self, order: Order, script: Script, entry: Entry) -> None:
        entry.result = replace(entry.result, state="running", progress=Progress("half", 1, 2))
        await asyncio.sleep(script.seconds)
        if script.effect and script.state != "failed":
            self.log.append(f"effect {order.key}")
            self._save()
            self.after_effect(order.key.partition("/")[2])
        self.generation += 1
        outputs = script.outputs
        entry.result = OrderResult(order.key, script.state, script.summary, "", self.generation, outputs)
        self._save()
        assert entry.done is not None
        entry.done.set()

    def _refuse(self, order: Order, script: Script) -> None:
        if script.refusals:
            raise refused(script.refusals.pop(0), "as the script says")
        digest = order_digest(order.kind, order.object, order.arguments, order.expects, order.secret_digests)
        assert digest == order.digest
        assert order.data_center == DATA_CENTER
        if order.ledger_id != self.ledger_id:
            raise refused("other-ledger", "another ledger")
        if self.resync_needed:
            raise refused("resync-needed", "new ledger")
        self._refuse_right(order.holder, order.epoch)
        if order.deadline.boot_id != self.boot_id or order.deadline.boottime_ms < self._boottime_ms():
            raise refused("late", "after its deadline")
        if any(one.object == order.object and one.result.state == "running" for one in self.ledger.values()):
            raise refused("busy", "another order of this object is open")

    def _refuse_right(self, holder: str, epoch: int) -> None:
        if epoch < self.epoch:
            raise refused("stale-epoch", f"epoch {epoch} has ended")
        if holder != self.holder or not self.lease_valid or _now() >= self.lease_until_s:
            raise refused("no-lease", "no valid lease")

    async def _arrive(self, what: str) -> None:
        self.log.append(what)
        await asyncio.sleep(self.slow_s or RTT_S)
        if self.silent:
            await asyncio.sleep(3600)
        if self.fault is not None:
            raise self.fault

    async def _wait(self, entry: Entry, seconds: float) -> None:
        if entry.done is not None and not entry.done.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await entry.done.wait()
            except TimeoutError:
                pass

    def _boottime_ms(self) -> int:
        return 1_000_000 + round(_now() * 1000)

    def _save(self) -> None:
        """What a real agent has made durable before it answers."""
        if self.file is None:
            return
        document = {
            "epoch": self.epoch,
            "holder": self.holder,
            "log": [line for line in self.log if line.startswith("effect ")],
            "ledger": {
                key: [entry.digest, entry.object, to_plain(entry.result)]
                for key, entry in self.ledger.items()
            },
        }
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(document))
        os.replace(new, self.file)

    def load(self) -> None:
        """Take up what an earlier process left in the file; what was accepted is carried out meanwhile."""
        if self.file is None or not self.file.exists():
            return
        document = json.loads(self.file.read_text())
        self.epoch, self.holder, self.log = document["epoch"], document["holder"], document["log"]
        for key, (digest, object_id, plain) in document["ledger"].items():
            result = convert(plain, OrderResult)
            if result.state in ("accepted", "running"):
                if f"effect {key}" not in self.log:
                    self.log.append(f"effect {key}")
                result = OrderResult(key, "succeeded", "done meanwhile")
            self.ledger[key] = Entry(digest, object_id, result)
        self._save()


def refused(reason: RefusalReason, summary: str) -> OrderRefusedError:
    return OrderRefusedError(Refusal(reason, summary, "plan anew"))


def refuses_to_answer() -> AnswerRefusedError:
    return AnswerRefusedError("its certificate has expired")


def make_fleet(count: int, directory: Path | None = None) -> dict[str, FakeAgent]:
    """Hosts host/h1, host/h2, …, with uuids uuid_of(1), uuid_of(2), …"""
    fleet = {}
    for number in range(1, count + 1):
        file = directory / f"h{number}.json" if directory else None
        fleet[f"host/h{number}"] = FakeAgent(f"host/h{number}", uuid_of(number), file=file)
    return fleet


def states_of(fleet: dict[str, FakeAgent], names: Sequence[str] | None = None) -> dict[str, HostState]:
    """The documents of agents that answer, as admission would have seen them."""
    return {
        name: agent.document()
        for name, agent in fleet.items()
        if not agent.silent and agent.fault is None and (names is None or name in names)
    }


def _now() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0


__all__ = [
    "DATA_CENTER",
    "Entry",
    "FakeAgent",
    "Script",
    "make_fleet",
    "refused",
    "refuses_to_answer",
    "states_of",
    "uuid_of",
]
