"""What Ostler keeps on storage: one record a VM, one a disk, one for the pool.

Records make the controller's store a cache: with the store lost, these and the agents' ledgers say what is.
"""

from dataclasses import dataclass, field
from typing import Literal

from nodeagent.wire.types import Bytes, Count, Mac, Milliseconds, Name, ObjectId, Text, Uuid
from nodeagent.wire.version import CURRENT, Format

ExitReason = Literal[
    "shutdown", "stopped", "destroyed", "crashed", "failed", "host-lost", "migrated", "unknown"
]
"""shutdown: by the guest itself · stopped: by our order · destroyed: behind our back · the rest speak for themselves."""

IntentAction = Literal["start", "stop", "reboot", "pause", "resume", "migrate"]


@dataclass(frozen=True, slots=True)
class RunHost:
    """A host on which a run may be alive, and the boot in which it was begun there."""

    uuid: Uuid
    boot_id: Uuid


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a VM from start to exit; the record's last one. Open while `closed` is None.

    While it is open the VM counts as running on each host named, until that host has answered without it
    or is proven off. `stopped_by_manifest` lets a later manifest start it again.
    """

    number: Count
    hosts: tuple[RunHost, ...]
    lease: bool = False
    closed: ExitReason | None = None
    stopped_by_manifest: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """A person's intent ("start this VM"), planned like any declared value.

    run: number of the VM's last run when it was made (0 before the first). The claim of any later run ends it, so
    that whatever crashes, nothing is started, restarted or moved twice for one intent. done: ended otherwise.
    """

    id: Uuid
    action: IntentAction
    host: ObjectId | None = None
    done: bool = False
    run: Count = 0


@dataclass(frozen=True, slots=True)
class VmRecord:
    """What is decided once about a VM and kept: addresses, machine type, consent, its last run.

    manifest_generation: how many manifests it has had, each with another digest than the one before.
    ends: how many runs in a row ended by themselves, each soon after its start, with the last one; None after a stop.
    removed_at_ms: wall clock of the host that removed it; what is left of it besides its disks is kept for a while.
    revision grows by one with every write; the higher readable one of two copies wins.
    """

    uuid: Uuid
    object: ObjectId
    data_center: Uuid
    revision: Count
    incarnation: Count
    machine: Name
    cpu_model: Name
    macs: dict[str, Mac] = field(default_factory=dict)
    pci: dict[str, str] = field(default_factory=dict)
    disks: tuple[ObjectId, ...] = ()
    managed: bool = True
    allow_destroy: Uuid | None = None
    manifest_digest: Text = ""
    manifest_generation: Count = 0
    last_order: Text = ""
    intents: tuple[Intent, ...] = ()
    run: Run | None = None
    ends: Count | None = None
    removed: bool = False
    removed_at_ms: Milliseconds | None = None
    copy_domain: Uuid | None = None
    format: Format = CURRENT


@dataclass(frozen=True, slots=True)
class DiskRecord:
    """What is decided once about a disk. A removed one stays restorable until its purge."""

    image: Uuid
    volume: Uuid
    object: ObjectId
    data_center: Uuid
    storage_domain: Uuid
    revision: Count
    incarnation: Count
    managed: bool = True
    allow_destroy: Uuid | None = None
    manifest_digest: Text = ""
    last_order: Text = ""
    removed: bool = False
    removed_at_ms: Milliseconds | None = None
    format: Format = CURRENT


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """The data center's own record on its master domain: host ids, domains, and the records of other kinds."""

    data_center: Uuid
    revision: Count
    host_ids: dict[Uuid, Count] = field(default_factory=dict)
    domains: dict[ObjectId, Uuid] = field(default_factory=dict)
    last_order: Text = ""
    format: Format = CURRENT


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """One volume as storage has it: metadata read by our own reader, sizes from the file system."""

    image: Uuid
    volume: Uuid
    format: Literal["raw", "qcow2"]
    allocation: Literal["thin", "preallocated"]
    capacity_bytes: Bytes
    actual_bytes: Bytes
    legal: bool = True
    removed: bool = False
    description: Text = ""
