"""What one agent reports: `state` (steps may rely on it), `statistics` (placement and balancing only), and
`storage` (one storage domain as this host reads it, asked of one connected host a domain).

Readers ignore fields they do not know, so that a newer agent can speak to an older controller.
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.records import DiskRecord, ExitReason, PoolRecord, VmRecord, VolumeFacts
from nodeagent.wire.types import Bytes, Count, LinkName, Mac, Milliseconds, Name, ObjectId, Text, Uuid
from nodeagent.wire.version import CURRENT, Format

GuestState = Literal["running", "paused", "shutting-down", "crashed", "incoming", "unknown"]
"""incoming: the receiving end of a migration that has not ended; unknown: libvirt did not answer for it in time."""

StorageState = Literal["active", "inactive", "unknown"]
CheckLevel = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class HostCapabilities:
    """What the host could run. machines: versioned machine types; cpu_models: usable libvirt model names, best last.

    halts_to_migrate: guests stand still while they leave, emulated by a QEMU that would lose some of their writes.
    """

    memory_bytes: Bytes
    threads: Count
    cores: Count
    sockets: Count
    kvm: bool
    cpu_models: tuple[Name, ...] = ()
    machines: tuple[Name, ...] = ()
    default_machine: Name = "pc-q35-7.2"
    uefi: bool = False
    tpm: bool = False
    libvirt: Text = ""
    qemu: Text = ""
    halts_to_migrate: bool = False


@dataclass(frozen=True, slots=True)
class MigrationFacts:
    """A migration under way, as its source sees it. Bytes remaining of total, MiB/s, host uuid of the other end."""

    destination: Uuid
    elapsed_ms: Milliseconds
    remaining_bytes: Bytes
    total_bytes: Bytes
    mib_per_s: Count = 0
    iteration: Count = 0


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """One domain that libvirt lists. `config` is None for a domain that is not ours or did not answer.

    applied_secrets: HMAC by secret reference of what was last applied. persistent: libvirt would keep it after a stop.
    gaps: what the domain has and `config` cannot express; an adoption would lose it at the next start.
    hangs_since_ms: for state unknown, the reading of the agent's boot-time clock when that was first seen.
    """

    uuid: Uuid
    title: Text
    state: GuestState
    managed: bool
    config: GuestConfig | None = None
    persistent: bool = False
    autostart: bool = False
    pause_reason: Text = ""
    disk_capacities: tuple[tuple[Uuid, Bytes], ...] = ()
    macs: tuple[Mac, ...] = ()
    memory_bytes: Bytes = 0
    vcpus: Count = 0
    vnc_port: Count | None = None
    applied_secrets: tuple[tuple[str, str], ...] = ()
    migration: MigrationFacts | None = None
    gaps: tuple[Text, ...] = ()
    hangs_since_ms: Milliseconds | None = None


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """A bridge of this host. `network` is the logical network that we made it for, None for somebody else's."""

    bridge: LinkName
    network: ObjectId | None
    nic: LinkName | None
    mtu: Count
    up: bool


@dataclass(frozen=True, slots=True)
class StorageDomainFacts:
    """A storage domain as this host reaches it. generation grows with every write that this agent made to it."""

    uuid: Uuid
    state: StorageState
    master: bool
    version: Count
    total_bytes: Bytes = 0
    free_bytes: Bytes = 0
    problem: Text = ""


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """An exit that the record does not hold yet; the agent keeps it until it does.

    ran_ms: how long the guest ran on this host. ended_ms: reading of the boot-time clock of `boot_id` when its end was
    noticed. None where nobody was there to see. detail: why the agent itself ended it, if it did.
    """

    vm: Uuid
    run: Count
    reason: ExitReason
    ran_ms: Milliseconds | None = None
    ended_ms: Milliseconds | None = None
    boot_id: Uuid | None = None
    detail: Text = ""


@dataclass(frozen=True, slots=True)
class DeedFacts:
    """A guest that the agent destroyed by itself, told for an hour. run: the one that it lived; wall clock of the host."""

    vm: Uuid
    run: Count
    reason: Text
    wallclock_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """An order in this agent's ledger: every open one, and the last of each object."""

    key: Text
    kind: Name
    object: ObjectId
    state: Literal["accepted", "running", "succeeded", "failed", "unknown", "revoked"]
    summary: Text = ""


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """One finding of `ostler-agent check`: what the host lacks, and what its administrator should do."""

    level: CheckLevel
    topic: Name
    summary: Text
    action: Text = ""


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """Who may order this agent: the highest epoch seen, and the holder while its lease lasts."""

    epoch: Count
    holder: Text = ""
    remaining_ms: Milliseconds = 0


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The certificate that the host shows (PEM; public), and between which wall-clock times, in ms, it is valid."""

    pem: Text
    begins_ms: Milliseconds
    expires_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class HostState:
    """The state document. guests_complete: libvirt listed every domain; processes: VM uuids of all QEMU processes.

    boottime_ms reads the agent's boot-time clock, for deadlines. generation grows whenever the document changes.
    resync_needed: the ledger is new and takes no orders until a controller has settled what runs here.
    kept: uuids of the VMs whose TPM's state lies here, sorted; set_aside: of those whose removal gave it another name.
    """

    host_uuid: Uuid
    boot_id: Uuid
    agent_start: Uuid
    agent_version: Text
    generation: Count
    boottime_ms: Milliseconds
    wallclock_ms: Milliseconds
    ledger_id: Uuid
    lease: LeaseFacts
    capabilities: HostCapabilities
    data_center: Uuid | None = None
    host_id: Count | None = None
    resync_needed: bool = False
    maintenance: bool = False
    guests: tuple[GuestFacts, ...] = ()
    guests_complete: bool = True
    processes: tuple[Uuid, ...] = ()
    networks: tuple[NetworkFacts, ...] = ()
    nics: tuple[LinkName, ...] = ()
    storage: tuple[StorageDomainFacts, ...] = ()
    exits: tuple[ExitFacts, ...] = ()
    orders: tuple[OrderFacts, ...] = ()
    kinds: tuple[Name, ...] = ()
    checks: tuple[CheckFacts, ...] = ()
    certificate: CertificateFacts | None = None
    kept: tuple[Uuid, ...] = ()
    set_aside: tuple[Uuid, ...] = ()
    deeds: tuple[DeedFacts, ...] = ()
    format: Format = CURRENT


@dataclass(frozen=True, slots=True)
class GuestStatistics:
    """One-minute means, newest first, up to ten: CPU percent of one vCPU's worth summed over vCPUs, balloon bytes."""

    uuid: Uuid
    cpu_percent: tuple[Count, ...] = ()
    balloon_bytes: tuple[Bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class HostStatistics:
    """One-minute means, newest first, up to ten. cpu_percent of the whole host; memory and swap free in bytes."""

    host_uuid: Uuid
    boot_id: Uuid
    cpu_percent: tuple[Count, ...] = ()
    memory_free_bytes: tuple[Bytes, ...] = ()
    swap_total_bytes: Bytes = 0
    swap_free_bytes: tuple[Bytes, ...] = ()
    guests: tuple[GuestStatistics, ...] = ()
    format: Format = CURRENT


@dataclass(frozen=True, slots=True)
class StorageContents:
    """All that one storage domain holds, read by one host in one go. complete: every directory could be read.

    unreadable: VM uuids whose record exists and cannot be read; unreadable_disks: image uuids whose record or volume
    metadata exists and cannot be read; tombstones stay among `vms` and `disks` as removed.
    kept: uuids of the VMs whose UEFI variables lie here, sorted; set_aside: of those whose removal gave them another name.
    isos: file names of the CD images, None where the agent cannot tell.
    """

    uuid: Uuid
    master: bool
    complete: bool
    pool: PoolRecord | None = None
    vms: tuple[VmRecord, ...] = ()
    disks: tuple[DiskRecord, ...] = ()
    volumes: tuple[VolumeFacts, ...] = ()
    unreadable: tuple[Uuid, ...] = ()
    unreadable_disks: tuple[Uuid, ...] = ()
    kept: tuple[Uuid, ...] = ()
    set_aside: tuple[Uuid, ...] = ()
    total_bytes: Bytes = 0
    free_bytes: Bytes = 0
    isos: tuple[Text, ...] | None = None
    format: Format = CURRENT


@dataclass(frozen=True, slots=True)
class FactsChange:
    """One line of the stream of changes: the generation of the state document now. Repeated as a heartbeat."""

    agent_start: Uuid
    generation: Count
    boottime_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class AgentVersion:
    """What answers at the other end: its version, the contract's, and the kinds of orders that it can carry out."""

    agent_version: Text
    kinds: tuple[Name, ...]
    format: Format = CURRENT
