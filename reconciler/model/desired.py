"""What the manifests of one data center declare, after defaults and references: the value `Desired`.

Integers in bytes, milliseconds and MiB/s; references are object ids. Two equal declarations have equal
digests, wherever their files lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from nodeagent.wire.guest import DiskBus, DiskFormat, Firmware, KernelBoot, LinkState, NicModel
from reconciler.model.scheduling import Selector
from reconciler.problems import Where

NOWHERE = Where("-", 1, 1)


class RunPolicy(StrEnum):
    """When a VM is to run; design: Power."""

    ALWAYS = "Always"
    RESTART_ON_FAILURE = "RestartOnFailure"
    MANUAL = "Manual"
    STOPPED = "Stopped"


class RestartPolicy(StrEnum):
    """Whether a change that takes effect at the next start may restart the guest."""

    NEVER = "Never"
    WHEN_NEEDED = "WhenNeeded"


class Mobility(StrEnum):
    """Whether live migration may move a VM."""

    MIGRATABLE = "Migratable"
    PINNED = "Pinned"


@dataclass(frozen=True, slots=True)
class Meta:
    """What every object has. `name` is shown to people; `digest` covers the normalised declaration without places.

    fields: where each declared field stands (`spec.memory` -> Where), filled lazily by the reader.
    """

    id: str
    name: str
    digest: str
    where: Where = field(default=NOWHERE, compare=False)
    uuid: str | None = None
    allow_destroy: str | None = None
    renamed_from: str | None = None


@dataclass(frozen=True, slots=True)
class DataCenter:
    """The root. mac_prefix: first three bytes of assigned MACs. retention_ms: how long removed disks stay restorable."""

    meta: Meta
    uuid: str
    mac_prefix: str = "56:6f:1a"
    retention_ms: int = 7 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class MigrationLimits:
    """Limits of live migration. Defaults: RHV 4.1 (52 MiB/s, 2 at once per host, 240 s without progress)."""

    bandwidth_mib_per_s: int = 52
    concurrent_per_host: int = 2
    downtime_ms: int = 500
    stall_ms: int = 240_000
    seconds_per_gib: int = 64


@dataclass(frozen=True, slots=True)
class UnitFactor:
    """A weight unit of a policy, and how much its opinion counts."""

    unit: str
    factor: int


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter's value: a whole number, in hundredths for parameters with decimals."""

    parameter: str
    value: int


@dataclass(frozen=True, slots=True)
class SchedulingPolicy:
    """How VMs of a cluster are placed: filters in order, weights with factors, one balance, parameters by name."""

    meta: Meta
    filters: tuple[str, ...] = ()
    weights: tuple[UnitFactor, ...] = ()
    balance: str = "None"
    selector: Selector = "RankSelector"
    settings: tuple[Setting, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The migration domain. cpu_model/machine None: chosen once per VM from what all its hosts can run.

    scheduling_policy: id, of a declared policy or of one that comes with Ostler. settings: instead of the policy's.
    """

    meta: Meta
    networks: tuple[str, ...] = ()
    cpu_model: str | None = None
    machine: str | None = None
    memory_overcommit_percent: int = 100
    count_threads_as_cores: bool = False
    migration: MigrationLimits = MigrationLimits()
    scheduling_policy: str = "sched/none"
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkAttachment:
    """A logical network on a host, with the NIC that is its uplink; without one the bridge stays inside the host."""

    network: str
    nic: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A hypervisor host. networks: attachments; a network of its cluster without one is made without uplink."""

    meta: Meta
    uuid: str
    cluster: str
    address: str
    port: int = 54330
    maintenance: bool = False
    networks: tuple[NetworkAttachment, ...] = ()


@dataclass(frozen=True, slots=True)
class LogicalNetwork:
    """A VM network, realised as a bridge on every host of the clusters that list it."""

    meta: Meta
    bridge: str
    mtu: int = 1500
    description: str = ""


@dataclass(frozen=True, slots=True)
class StorageDomain:
    """A data domain on files. localfs belongs to the one host named; posixfs to every host.

    uuid: of the domain on storage. master_priority: the lowest, then the first id, holds the records.
    """

    meta: Meta
    uuid: str
    type: Literal["posixfs", "localfs"]
    path: str
    vfs_type: str | None = None
    mount_options: str = ""
    host: str | None = None
    description: str = ""
    critical_space_bytes: int = 5 * 2**30
    warning_space_percent: int = 10


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk image of its own life; VMs attach it."""

    meta: Meta
    storage_domain: str
    size_bytes: int
    format: DiskFormat = "qcow2"
    allocation: Literal["thin", "preallocated"] = "thin"
    description: str = ""


@dataclass(frozen=True, slots=True)
class CpuTopology:
    """Declared CPU; model None: the cluster's."""

    sockets: int = 1
    cores: int = 1
    threads: int = 1
    maximum_sockets: int = 1
    model: str | None = None

    @property
    def vcpus(self) -> int:
        """vCPUs plugged when the VM starts."""
        return self.sockets * self.cores * self.threads

    @property
    def maximum_vcpus(self) -> int:
        """vCPUs that can be plugged without a restart."""
        return self.maximum_sockets * self.cores * self.threads


@dataclass(frozen=True, slots=True)
class DiskAttachment:
    """A disk as the VM sees it; boot_order counts from 1 over disks and the CD drive."""

    disk: str
    bus: DiskBus = "virtio"
    boot_order: int | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card; mac None: assigned once and kept in the VM's record."""

    name: str
    network: str
    model: NicModel = "virtio"
    mac: str | None = None
    link: LinkState = "up"


@dataclass(frozen=True, slots=True)
class Cdrom:
    """A CD drive; without a file it is empty."""

    storage_domain: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A value kept elsewhere; only the reference is ever stored."""

    secret: str
    key: str

    def __str__(self) -> str:
        return f"{self.secret}/{self.key}"


@dataclass(frozen=True, slots=True)
class Vnc:
    """A VNC console, closed until a password is given."""

    password: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A VM as declared. hosts: pinned to these if not empty. priority 0 to 100, higher first.

    shutdown_ms: how long a guest may take to shut down before its plug is pulled (0: never pulled).
    """

    meta: Meta
    cluster: str
    cpu: CpuTopology
    memory_bytes: int
    maximum_memory_bytes: int
    guaranteed_memory_bytes: int
    disks: tuple[DiskAttachment, ...] = ()
    nics: tuple[Nic, ...] = ()
    firmware: Firmware = "bios"
    machine: str | None = None
    kernel: KernelBoot | None = None
    cdrom: Cdrom | None = None
    serial: bool = True
    vnc: Vnc | None = None
    balloon: bool = True
    rng: bool = True
    tpm: bool = False
    run_policy: RunPolicy = RunPolicy.RESTART_ON_FAILURE
    restart_policy: RestartPolicy = RestartPolicy.NEVER
    hosts: tuple[str, ...] = ()
    mobility: Mobility = Mobility.MIGRATABLE
    priority: int = 50
    shutdown_ms: int = 120_000
    description: str = ""


@dataclass(frozen=True, slots=True)
class Desired:
    """All that is declared for one data center; every mapping is keyed by object id, in sorted order."""

    data_center: DataCenter
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    networks: Mapping[str, LogicalNetwork] = field(default_factory=dict)
    storage_domains: Mapping[str, StorageDomain] = field(default_factory=dict)
    disks: Mapping[str, Disk] = field(default_factory=dict)
    vms: Mapping[str, VirtualMachine] = field(default_factory=dict)
    scheduling_policies: Mapping[str, SchedulingPolicy] = field(default_factory=dict)
