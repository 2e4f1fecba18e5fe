"""What a guest is made of, in the terms of a manifest.

A start order carries a GuestConfig; the agent turns it into libvirt XML, and reads the same type back
from the XML of a running domain, so that planned and observed values compare field by field.
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.wire.types import (
    AbsolutePath,
    Bytes,
    Count,
    FileName,
    LinkName,
    Mac,
    Name,
    ObjectId,
    Text,
    Uuid,
)

DiskBus = Literal["virtio", "scsi", "sata", "ide"]
DiskFormat = Literal["raw", "qcow2"]
NicModel = Literal["virtio", "e1000", "rtl8139"]
Firmware = Literal["bios", "uefi"]
LinkState = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class CpuConfig:
    """Topology and model; `sockets` are plugged now, `maximum_sockets` may be without a restart.

    `model` is a libvirt CPU model name, `host-passthrough`, or `maximum`; resolved once and kept.
    """

    model: Name
    sockets: Count
    cores: Count
    threads: Count
    maximum_sockets: Count

    @property
    def vcpus(self) -> int:
        """vCPUs that the guest has now."""
        return self.sockets * self.cores * self.threads

    @property
    def maximum_vcpus(self) -> int:
        """vCPUs that the guest can have without a restart."""
        return self.maximum_sockets * self.cores * self.threads


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Bytes, whole MiB. The balloon moves `current` between `guaranteed` and `maximum`."""

    current_bytes: Bytes
    maximum_bytes: Bytes
    guaranteed_bytes: Bytes


@dataclass(frozen=True, slots=True)
class KernelBoot:
    """Direct kernel boot from files of the host."""

    kernel: AbsolutePath
    initrd: AbsolutePath | None = None
    cmdline: Text = ""


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """One attached disk; `name` is the disk's object id, its serial in the guest is the image uuid.

    boot_order counts from 1; None means that the firmware does not try it.
    """

    name: ObjectId
    storage_domain: Uuid
    image: Uuid
    volume: Uuid
    format: DiskFormat
    bus: DiskBus
    boot_order: Count | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class CdromConfig:
    """The CD drive; without a file it is empty. The file lies in the domain's ISO image directory."""

    storage_domain: Uuid | None = None
    file: FileName | None = None


@dataclass(frozen=True, slots=True)
class NicConfig:
    """One network card. `bridge` is where the host plugs it; `pci` is given once libvirt has chosen it."""

    name: Name
    network: ObjectId
    bridge: LinkName
    mac: Mac
    model: NicModel
    link: LinkState = "up"
    pci: str | None = None


@dataclass(frozen=True, slots=True)
class VncConfig:
    """A VNC console on the host's loopback; `password` names a secret as `NAME/KEY`, never its value."""

    password: Text | None = None


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """A whole guest. `run` is the run number that the start claims in the VM's record."""

    uuid: Uuid
    object: ObjectId
    data_center: Uuid
    title: Text
    run: Count
    machine: Name
    cpu: CpuConfig
    memory: MemoryConfig
    firmware: Firmware = "bios"
    kernel: KernelBoot | None = None
    disks: tuple[DiskConfig, ...] = ()
    cdrom: CdromConfig | None = None
    nics: tuple[NicConfig, ...] = ()
    vnc: VncConfig | None = None
    serial: bool = True
    balloon: bool = True
    rng: bool = True
    tpm: bool = False
    description: Text = ""
