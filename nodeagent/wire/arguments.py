"""Arguments of every kind of order, one class a kind. All final: an agent never fills in a choice.

`ARGUMENTS` names the class of each kind; planner, agent and simulation read the same table.
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.wire.guest import (
    CdromConfig,
    DiskConfig,
    DiskFormat,
    GuestConfig,
    NicConfig,
)
from nodeagent.wire.records import DiskRecord, ExitReason, PoolRecord, VmRecord
from nodeagent.wire.types import (
    Bytes,
    Count,
    LinkName,
    Milliseconds,
    MountSource,
    Name,
    ObjectId,
    Text,
    Uuid,
)

StorageType = Literal["posixfs", "localfs"]
Allocation = Literal["thin", "preallocated"]


@dataclass(frozen=True, slots=True)
class StorageConnection:
    """How a host reaches a storage domain. posixfs is mounted with vfs_type and options; localfs is a directory.

    path: what is mounted, or the directory, which is an absolute path.
    """

    type: StorageType
    path: MountSource
    vfs_type: Name | None = None
    options: Text = ""


@dataclass(frozen=True, slots=True)
class CreateStorageDomain:
    """Make an empty version 5 domain; refused if the place holds anything, unless it is this very domain."""

    uuid: Uuid
    name: Text
    data_center: Uuid
    connection: StorageConnection
    master: bool


@dataclass(frozen=True, slots=True)
class ConnectStorageDomain:
    """Mount and check an existing domain; host_id is this host's id in the pool (1 to 250)."""

    uuid: Uuid
    data_center: Uuid
    connection: StorageConnection
    host_id: Count


@dataclass(frozen=True, slots=True)
class DisconnectStorageDomain:
    """Unmount a domain; refused while a guest of this host uses it."""

    uuid: Uuid


@dataclass(frozen=True, slots=True)
class WritePoolRecord:
    """Replace the pool's record; its revision must be one above the one on storage."""

    storage_domain: Uuid
    record: PoolRecord


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """Make the bridge of a logical network, with a NIC as its uplink where one is named."""

    network: ObjectId
    bridge: LinkName
    mtu: Count
    nic: LinkName | None = None


@dataclass(frozen=True, slots=True)
class UpdateNetwork:
    """Change MTU or uplink of a bridge that CreateNetwork made."""

    network: ObjectId
    bridge: LinkName
    mtu: Count
    nic: LinkName | None = None


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove a bridge that CreateNetwork made; refused while a guest is plugged into it."""

    network: ObjectId
    bridge: LinkName


@dataclass(frozen=True, slots=True)
class SetMaintenance:
    """Close the host for starts and incoming migrations, or open it. Closing is refused while guests run."""

    maintenance: bool


@dataclass(frozen=True, slots=True)
class CreateDisk:
    """Make image, volume, metadata and record. Capacity in bytes, whole 4 KiB."""

    storage_domain: Uuid
    record: DiskRecord
    capacity_bytes: Bytes
    format: DiskFormat
    allocation: Allocation
    description: Text = ""


@dataclass(frozen=True, slots=True)
class GrowDisk:
    """Grow a volume, never shrink it; with `vm` through that running guest, so that the guest sees it at once."""

    storage_domain: Uuid
    image: Uuid
    volume: Uuid
    capacity_bytes: Bytes
    vm: Uuid | None = None


@dataclass(frozen=True, slots=True)
class WriteDiskRecord:
    """Replace a disk's record (consent, digest, adoption); its revision must be one above the one on storage."""

    record: DiskRecord


@dataclass(frozen=True, slots=True)
class RemoveDisk:
    """Mark an image removed; its bytes stay until the purge. Needs the consent that its record holds."""

    record: DiskRecord


@dataclass(frozen=True, slots=True)
class RestoreDisk:
    """Take a removed image back into use."""

    record: DiskRecord


@dataclass(frozen=True, slots=True)
class RenewCertificate:
    """Replace the host's certificate by a new one for the same key, and let libvirt read it.

    present: SHA-256 (hex) of the one that is replaced. certificate: the reference under which the new one (PEM; public,
    made when the order is sent) is delivered beside the order's secrets.
    """

    present: Text
    certificate: Text


@dataclass(frozen=True, slots=True)
class PurgeDisk:
    """Delete the bytes of an image that has been marked removed for retention_ms."""

    storage_domain: Uuid
    image: Uuid
    retention_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class WriteVmRecord:
    """Create or replace a VM's record and its copy; revision must be one above the one on storage (1 if none)."""

    master: Uuid
    record: VmRecord


@dataclass(frozen=True, slots=True)
class RecordExit:
    """Close run `run` of a VM with its reason, after every host named in it was seen without the VM.

    ends: with this one, how many runs in a row ended by themselves.
    """

    master: Uuid
    vm: Uuid
    run: Count
    reason: ExitReason
    stopped_by_manifest: bool = False
    ends: Count | None = None


@dataclass(frozen=True, slots=True)
class RemoveVm:
    """Turn a VM's record into a tombstone, and set aside what it kept besides its disks. Needs the consent that its
    record holds and no open run. Of a VM that has its tombstone, what is still under its own name is set aside.
    """

    master: Uuid
    vm: Uuid


@dataclass(frozen=True, slots=True)
class PurgeVm:
    """Delete what is set aside of a VM, on storage and on this host, that was removed retention_ms ago or before."""

    master: Uuid
    vm: Uuid
    retention_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class StartVm:
    """Claim run config.run in the VM's record, start the guest, verify it, keep what libvirt chose (PCI)."""

    master: Uuid
    config: GuestConfig


@dataclass(frozen=True, slots=True)
class StopVm:
    """Ask the guest to shut down for timeout_ms, or pull its plug; then close its run.

    then_destroy: a guest that has not shut down in its time has its plug pulled too; else the order fails.
    disks: what the record names once the guest has let go of all; None leaves that as it is.
    """

    master: Uuid
    vm: Uuid
    run: Count
    mode: Literal["shutdown", "destroy"]
    timeout_ms: Milliseconds
    reason: ExitReason
    stopped_by_manifest: bool = False
    then_destroy: bool = False
    disks: tuple[ObjectId, ...] | None = None


@dataclass(frozen=True, slots=True)
class RebootVm:
    """Stop, and start in the same order with this configuration: a restart that the manifest asked for.

    then_destroy: as for a stop.
    """

    master: Uuid
    config: GuestConfig
    timeout_ms: Milliseconds
    then_destroy: bool = False


@dataclass(frozen=True, slots=True)
class MigrateVm:
    """Move a running guest: claim run `run` on both hosts, move over TLS, close the source's part.

    bandwidth in MiB/s; downtime_ms allowed at the switch-over; aborted after stall_ms without progress.
    """

    master: Uuid
    vm: Uuid
    run: Count
    destination: Uuid
    destination_boot_id: Uuid
    destination_address: Text
    bandwidth_mib_per_s: Count
    downtime_ms: Milliseconds
    timeout_ms: Milliseconds
    stall_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class PauseVm:
    """Suspend the guest's CPUs."""

    vm: Uuid


@dataclass(frozen=True, slots=True)
class ResumeVm:
    """Let the guest's CPUs go on."""

    vm: Uuid


@dataclass(frozen=True, slots=True)
class SetVmMemory:
    """Set the balloon's target, at most the maximum that the guest was started with."""

    vm: Uuid
    current_bytes: Bytes


@dataclass(frozen=True, slots=True)
class SetVmCpus:
    """Plug vCPUs, at most the maximum that the guest was started with."""

    vm: Uuid
    vcpus: Count


@dataclass(frozen=True, slots=True)
class UpdateNic:
    """Change link state or network of a running guest's card; `before` and `after` differ in nothing else."""

    vm: Uuid
    before: NicConfig
    after: NicConfig


@dataclass(frozen=True, slots=True)
class AttachNic:
    """Plug a card into a running guest, and keep what libvirt chose (PCI) in the VM's record."""

    master: Uuid
    vm: Uuid
    nic: NicConfig


@dataclass(frozen=True, slots=True)
class DetachNic:
    """Unplug a card from a running guest, and wait until the guest let go."""

    vm: Uuid
    nic: NicConfig


@dataclass(frozen=True, slots=True)
class AttachDisk:
    """Plug a disk (virtio or scsi) into a running guest."""

    vm: Uuid
    disk: DiskConfig


@dataclass(frozen=True, slots=True)
class DetachDisk:
    """Unplug a disk from a running guest, and wait until the guest let go. No byte of it changes."""

    vm: Uuid
    disk: DiskConfig


@dataclass(frozen=True, slots=True)
class ChangeCdrom:
    """Insert, change or eject the CD of a running guest."""

    vm: Uuid
    cdrom: CdromConfig


@dataclass(frozen=True, slots=True)
class SetVncPassword:
    """Set the console's password from the secret named `NAME/KEY`."""

    vm: Uuid
    password: Text | None


Arguments = (
    CreateStorageDomain
    | ConnectStorageDomain
    | DisconnectStorageDomain
    | WritePoolRecord
    | CreateNetwork
    | UpdateNetwork
    | RemoveNetwork
    | SetMaintenance
    | CreateDisk
    | GrowDisk
    | WriteDiskRecord
    | RemoveDisk
    | RestoreDisk
    | PurgeDisk
    | RenewCertificate
    | WriteVmRecord
    | RecordExit
    | RemoveVm
    | PurgeVm
    | StartVm
    | StopVm
    | RebootVm
    | MigrateVm
    | PauseVm
    | ResumeVm
    | SetVmMemory
    | SetVmCpus
    | UpdateNic
    | AttachNic
    | DetachNic
    | AttachDisk
    | DetachDisk
    | ChangeCdrom
    | SetVncPassword
)

ARGUMENTS: dict[str, type[Arguments]] = {
    "create-storage-domain": CreateStorageDomain,
    "connect-storage-domain": ConnectStorageDomain,
    "disconnect-storage-domain": DisconnectStorageDomain,
    "write-pool-record": WritePoolRecord,
    "create-network": CreateNetwork,
    "update-network": UpdateNetwork,
    "remove-network": RemoveNetwork,
    "set-maintenance": SetMaintenance,
    "create-disk": CreateDisk,
    "grow-disk": GrowDisk,
    "write-disk-record": WriteDiskRecord,
    "remove-disk": RemoveDisk,
    "restore-disk": RestoreDisk,
    "purge-disk": PurgeDisk,
    "renew-certificate": RenewCertificate,
    "write-vm-record": WriteVmRecord,
    "record-exit": RecordExit,
    "remove-vm": RemoveVm,
    "purge-vm": PurgeVm,
    "start-vm": StartVm,
    "stop-vm": StopVm,
    "reboot-vm": RebootVm,
    "migrate-vm": MigrateVm,
    "pause-vm": PauseVm,
    "resume-vm": ResumeVm,
    "set-vm-memory": SetVmMemory,
    "set-vm-cpus": SetVmCpus,
    "update-nic": UpdateNic,
    "attach-nic": AttachNic,
    "detach-nic": DetachNic,
    "attach-disk": AttachDisk,
    "detach-disk": DetachDisk,
    "change-cdrom": ChangeCdrom,
    "set-vnc-password": SetVncPassword,
}

KINDS: dict[type[Arguments], str] = {cls: kind for kind, cls in ARGUMENTS.items()}
