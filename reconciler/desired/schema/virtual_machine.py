"""VirtualMachine: CPU, memory, devices, power and placement of one VM."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from nodeagent.wire.guest import DiskBus, Firmware, LinkState, NicModel
from reconciler.desired.schema.base import Manifest, Part, by_key
from reconciler.desired.schema.quantities import Duration, Memory, between
from reconciler.desired.schema.scalars import (
    DISPLAY_NAME,
    ONE_LINE,
    AbsolutePath,
    FileName,
    Mac,
    MachineType,
    OneLine,
    PlainName,
    Reference,
    SecretKey,
    Uuid,
)


class CpuSpec(Part):
    """CPU topology and model. The VM has sockets × cores × threads vCPUs."""

    sockets: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Sockets plugged when the VM starts."""

    cores: Annotated[int, Field(ge=1, le=254)] = 1
    """Cores in each socket."""

    threads: Annotated[int, Field(ge=1, le=8)] = 1
    """Threads in each core."""

    max_sockets: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Sockets that can be plugged without a restart; `sockets` where none is given."""

    model: PlainName | None = None
    """CPU model as libvirt names it; the cluster's where none is given."""


class BootSpec(Part):
    """A kernel started directly, without a boot loader, from files that every host has."""

    kernel: AbsolutePath
    """Kernel image on the host."""

    initrd: AbsolutePath | None = None
    """Initial RAM disk on the host."""

    cmdline: OneLine = ""
    """Kernel command line."""


class DiskAttachmentSpec(Part):
    """A disk as the VM sees it."""

    disk: Reference
    """Disk in the VM's namespace."""

    bus: DiskBus = "virtio"
    """Bus that the disk is plugged into."""

    boot_order: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Place in the firmware's boot order, from 1; without one the firmware does not try the disk."""

    read_only: bool = False
    """Whether the guest may only read the disk."""


class NicSpec(Part):
    """A network card."""

    name: PlainName
    """Name of the card, unique in the VM; its MAC address stays with it."""

    network: Reference
    """Logical network, one of those that the VM's cluster lists."""

    model: NicModel = "virtio"
    """Card that the guest sees."""

    mac: Mac | None = None
    """MAC address; one is assigned once and kept where none is given."""

    link: LinkState = "up"
    """Whether the cable is plugged."""


class CdromSpec(Part):
    """A CD drive; without a file it is empty."""

    storage_domain: Reference | None = None
    """Storage domain that holds the file."""

    file: FileName | None = None
    """ISO image in the storage domain."""


class SecretKeySpec(Part):
    """A value kept elsewhere."""

    secret: Reference
    """Name of the secret."""

    key: SecretKey
    """Key inside the secret."""


class VncSpec(Part):
    """A VNC console, closed until a password is given."""

    password: SecretKeySpec | None = None
    """Where the password is kept: 1 to 8 printable bytes, as VNC looks at no more."""


class PlacementSpec(Part):
    """Where the VM may run."""

    hosts: Annotated[tuple[Reference, ...], Field(strict=False, max_length=250)] = ()
    """Hosts of the VM's cluster on which alone it may run; empty: on every one."""

    migration: Literal["Migratable", "Pinned"] = "Migratable"
    """`Migratable`: may be moved while it runs; `Pinned`: moves only while it is stopped."""


class VirtualMachineSpec(Part):
    """What is declared of a virtual machine."""

    cluster: Reference
    """Cluster whose hosts run the VM."""

    memory: Memory
    """Memory of the guest, whole MiB."""

    cpu: CpuSpec = CpuSpec.model_validate({})
    """CPU topology and model; one vCPU where nothing is given."""

    name: Annotated[str, StringConstraints(pattern=DISPLAY_NAME, max_length=64)] | None = None
    """The name shown to people, as in oVirt, unique in the data center; `metadata.name` where none is given."""

    uuid: Uuid | None = None
    """Identity of an existing VM to take over; made up where none is given."""

    description: Annotated[str, StringConstraints(pattern=ONE_LINE, max_length=255)] = ""
    """Text for people."""

    max_memory: Memory | None = None
    """Memory that the guest can be given without a restart; `memory` where none is given."""

    guaranteed_memory: Memory | None = None
    """Memory that is never taken from the guest; `memory` where none is given."""

    machine_type: MachineType | None = None
    """Machine type; the cluster's where none is given. Resolved once to a version and kept."""

    firmware: Firmware = "bios"
    """Firmware of the VM."""

    boot: BootSpec | None = None
    """Kernel to start directly; the firmware boots from disks where none is given."""

    disks: Annotated[tuple[DiskAttachmentSpec, ...], Field(strict=False, max_length=1024)] = ()
    """Disks attached to the VM."""

    nics: Annotated[tuple[NicSpec, ...], Field(strict=False, max_length=256)] = Field(
        default=(), json_schema_extra=by_key("name")
    )
    """Network cards."""

    cdrom: CdromSpec | None = None
    """CD drive."""

    serial: bool = True
    """Whether the VM has a serial console."""

    vnc: VncSpec | None = None
    """VNC console; none where nothing is given."""

    balloon: bool = True
    """Whether the VM has a memory balloon, so that its memory can change while it runs."""

    rng: bool = True
    """Whether the VM has a random number generator."""

    tpm: bool = False
    """Whether the VM has a TPM 2.0; needs uefi."""

    run_policy: Literal["Always", "RestartOnFailure", "Manual", "Stopped"] = "RestartOnFailure"
    """When the VM is to run: always; until its guest shuts down or a person stops it; as people say; never."""

    restart_policy: Literal["Never", "WhenNeeded"] = "Never"
    """Whether a change that takes effect at the next start may restart the guest."""

    placement: PlacementSpec = PlacementSpec.model_validate({})
    """Where the VM may run."""

    priority: Annotated[int, Field(ge=0, le=100)] = 50
    """Who goes first when VMs are started or moved, 0 to 100, higher first."""

    shutdown_timeout: Annotated[Duration, between("0s", "1d")] = Field(
        default=120_000, json_schema_extra={"default": "2m"}
    )
    """How long the guest may take to shut down before its plug is pulled; 0: it is never pulled."""


class VirtualMachineManifest(Manifest):
    """A virtual machine."""

    kind: Literal["VirtualMachine"]
    spec: VirtualMachineSpec
