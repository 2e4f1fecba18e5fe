"""A simulated hypervisor host: guests, bridges, connections, and the agent's ledger, epoch and lease."""

from dataclasses import dataclass, field, replace
from uuid import UUID, uuid5

from nodeagent.wire.arguments import ARGUMENTS
from nodeagent.wire.facts import (
    CertificateFacts,
    DeedFacts,
    ExitFacts,
    GuestFacts,
    HostCapabilities,
    HostState,
    HostStatistics,
    LeaseFacts,
    NetworkFacts,
    OrderFacts,
    StorageDomainFacts,
)
from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.orders import Order, OrderResult
from nodeagent.wire.records import ExitReason, RunHost

GIB = 2**30
CAPABILITIES = HostCapabilities(
    memory_bytes=64 * GIB,
    threads=16,
    cores=16,
    sockets=1,
    kvm=True,
    cpu_models=("qemu64", "Nehalem", "Skylake-Server"),
    machines=("pc-i440fx-7.2", "pc-q35-7.2"),
    default_machine="pc-q35-7.2",
    uefi=True,
    tpm=True,
    libvirt="9.0.0",
    qemu="7.2.0",
)


@dataclass(slots=True)
class SimulatedGuest:
    """A guest in memory. started_ms: virtual time of its boot, so that a restart can be told from a migration."""

    config: GuestConfig
    started_ms: int
    state: str = "running"
    managed: bool = True
    persistent: bool = False
    gaps: tuple[str, ...] = ()
    applied_secrets: tuple[tuple[str, str], ...] = ()
    pause_reason: str = ""
    hangs_since_ms: int | None = None


@dataclass(slots=True)
class LedgerEntry:
    """One order as the ledger keeps it."""

    order: Order | None
    result: OrderResult


@dataclass(slots=True)
class SimulatedHost:
    """One host. Everything that a power cut loses is in `guests`; the rest is on its disk.

    first_boot: the boot id of a real host that this one is a copy of, until it is booted anew. kept, set_aside: uuids of
    VMs whose TPM's state lies here, in use or with a removed VM's other name.
    """

    id: str
    uuid: str
    capabilities: HostCapabilities = CAPABILITIES
    boots: int = 1
    agent_starts: int = 1
    generation: int = 1
    powered: bool = True
    reachable: bool = True
    data_center: str | None = None
    host_id: int | None = None
    maintenance: bool = False
    nics: tuple[str, ...] = ("eth0", "eth1")
    guests: dict[str, SimulatedGuest] = field(default_factory=dict)
    networks: dict[str, NetworkFacts] = field(default_factory=dict)
    connected: dict[str, bool] = field(default_factory=dict)
    exits: dict[str, ExitFacts] = field(default_factory=dict)
    ledger: dict[str, LedgerEntry] = field(default_factory=dict)
    last_of: dict[str, str] = field(default_factory=dict)
    ledgers: int = 1
    resync_needed: bool = True
    epoch: int = 0
    holder: str = ""
    lease_until_ms: int = 0
    lease_ms: int = 0
    lease_renewed: bool = False
    cpu_percent: int = 5
    first_boot: str = ""
    skew_ms: int = 0
    certificate: CertificateFacts | None = None
    kept: set[str] = field(default_factory=set)
    set_aside: set[str] = field(default_factory=set)
    deeds: dict[str, DeedFacts] = field(default_factory=dict)

    @property
    def boot_id(self) -> str:
        """The id of this boot."""
        if self.first_boot and self.boots == 1:
            return self.first_boot
        return str(uuid5(UUID(self.uuid), f"boot {self.boots}"))

    @property
    def ledger_id(self) -> str:
        """The id of the ledger; a lost one gets another."""
        return str(uuid5(UUID(self.uuid), f"ledger {self.ledgers}"))

    @property
    def life(self) -> tuple[int, int]:
        """Which boot of the host and which start of its agent this is; what an agent does, ends with its life."""
        return self.boots, self.agent_starts

    @property
    def answers(self) -> bool:
        """Whether a question over the network gets an answer."""
        return self.powered and self.reachable

    def holds_lease(self, now_ms: int) -> bool:
        """Whether the lease's holder may order now."""
        return self.lease_renewed and now_ms < self.lease_until_ms

    def begin_life(self, now_ms: int) -> None:
        """The agent starts: epoch and holder are durable, the lease's time is not, so its holder must renew first."""
        self.lease_until_ms, self.lease_renewed = now_ms + self.lease_ms, False
        self.changed()

    def keep_order(self, order: Order) -> None:
        """Takes an order into the ledger, without its secrets."""
        self.ledger[order.key] = LedgerEntry(replace(order, secrets={}), OrderResult(order.key, "running"))
        self.last_of[order.object] = order.key
        self.changed()

    def revoke(self, key: str) -> OrderResult:
        """Writes down that a key never takes effect; its object's last order is again the one before."""
        entry = self.ledger.setdefault(key, LedgerEntry(None, OrderResult(key, "revoked", "revoked")))
        if entry.order is not None:
            object_id, entry.order = entry.order.object, None
            entry.result = OrderResult(key, "revoked", f"revoked; before: {entry.result.summary}")
            left = [
                one for one, known in self.ledger.items() if known.order and known.order.object == object_id
            ]
            self.last_of.pop(object_id)
            self.last_of.update({object_id: left[-1]} if left else {})
        self.changed()
        return entry.result

    def run_host(self) -> RunHost:
        """This host as a run names it."""
        return RunHost(self.uuid, self.boot_id)

    def changed(self) -> None:
        """A new state document."""
        self.generation += 1

    def lose_guest(self, vm: str, reason: ExitReason, now_ms: int | None = None) -> None:
        """A guest ends; the agent keeps its exit until the record has it. now_ms: virtual time, if somebody saw it."""
        guest = self.guests.pop(vm)
        ran_ms = now_ms - guest.started_ms if now_ms is not None else None
        boot_id = self.boot_id if now_ms is not None else None
        self.exits[vm] = ExitFacts(vm, guest.config.run, reason, ran_ms, now_ms, boot_id)
        self.changed()

    def document(
        self, now_ms: int, storage_facts: tuple[StorageDomainFacts, ...], epoch_ms: int = 0
    ) -> HostState:
        """The state document at a virtual time. epoch_ms: wall clock when that began."""
        return HostState(
            host_uuid=self.uuid,
            boot_id=self.boot_id,
            agent_start=str(uuid5(UUID(self.uuid), f"start {self.boots}.{self.agent_starts}")),
            agent_version="0.1.0",
            generation=self.generation,
            boottime_ms=now_ms,
            wallclock_ms=epoch_ms + now_ms + self.skew_ms,
            ledger_id=self.ledger_id,
            lease=self._lease(now_ms),
            capabilities=self.capabilities,
            data_center=self.data_center,
            host_id=self.host_id,
            resync_needed=self.resync_needed,
            maintenance=self.maintenance,
            guests=tuple(_guest_facts(self.guests[key]) for key in sorted(self.guests)),
            processes=tuple(sorted(self.guests)),
            networks=tuple(self.networks[key] for key in sorted(self.networks)),
            nics=self.nics,
            storage=storage_facts,
            exits=tuple(self.exits[key] for key in sorted(self.exits)),
            deeds=tuple(self.deeds[key] for key in sorted(self.deeds)),
            orders=self._orders(),
            kinds=tuple(sorted(ARGUMENTS)),
            certificate=self.certificate,
            kept=tuple(sorted(self.kept)),
            set_aside=tuple(sorted(self.set_aside)),
        )

    def _lease(self, now_ms: int) -> LeaseFacts:
        if not self.holds_lease(now_ms):
            return LeaseFacts(self.epoch)
        return LeaseFacts(self.epoch, self.holder, self.lease_until_ms - now_ms)

    def statistics(self) -> HostStatistics:
        """Steady means. Guests have touched half of their memory, so that hosts can be over-committed."""
        free = self.capabilities.memory_bytes - sum(
            one.config.memory.current_bytes // 2 for one in self.guests.values()
        )
        return HostStatistics(self.uuid, self.boot_id, (self.cpu_percent,) * 10, (max(0, free),) * 10)

    def _orders(self) -> tuple[OrderFacts, ...]:
        """Open orders, and the last of each object."""
        shown = set(self.last_of.values())
        shown |= {key for key, one in self.ledger.items() if one.result.state in ("accepted", "running")}
        entries = ((key, self.ledger[key]) for key in sorted(shown))
        return tuple(
            OrderFacts(key, one.order.kind, one.order.object, one.result.state, one.result.summary)
            for key, one in entries
            if one.order is not None
        )


def _guest_facts(guest: SimulatedGuest) -> GuestFacts:
    """A guest as its agent reports it."""
    config = guest.config
    return GuestFacts(
        uuid=config.uuid,
        title=config.title,
        state=guest.state,  # type: ignore[arg-type]  # one of GuestState
        managed=guest.managed,
        config=config if guest.managed else replace(config, run=0),
        persistent=guest.persistent,
        macs=tuple(nic.mac for nic in config.nics),
        memory_bytes=config.memory.current_bytes,
        vcpus=config.cpu.vcpus,
        vnc_port=5900 if config.vnc else None,
        gaps=guest.gaps,
        applied_secrets=guest.applied_secrets,
        pause_reason=guest.pause_reason,
        hangs_since_ms=guest.hangs_since_ms,
    )
