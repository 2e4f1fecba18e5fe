"""Disks, CD and network cards as libvirt device elements, alone for hot plugging or within a whole domain.

Targets, aliases and addresses are chosen here, so that a later unplug finds what a start made.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from string import ascii_lowercase

from nodeagent.guestxml.place import GuestXmlError
from nodeagent.wire.guest import DiskBus, DiskConfig, NicConfig

TARGET_PREFIXES: dict[DiskBus, str] = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}
CDROM_TARGET = "sda"
"""The CD drive takes the first SATA port, disks named sd* begin at the second, so that neither ever moves."""

_PCI = re.compile(r"^([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$")


def disk_alias(image: str) -> str:
    """The alias of a disk's device: libvirt keeps aliases that begin with `ua-`, and names them in events."""
    return f"ua-disk-{image}"


def nic_alias(mac: str) -> str:
    """The alias of a card's device."""
    return f"ua-nic-{mac.replace(':', '-')}"


def disk_element(disk: DiskConfig, file: Path, target: str) -> ET.Element:
    """A disk: cache=none as migration needs, discard passed on, errors pause the guest instead of reaching it.

    The serial is the image uuid; a virtio disk shows its guest the first 20 characters.
    """
    element = ET.Element("disk", {"type": "file", "device": "disk", "snapshot": "no"})
    driver = {"name": "qemu", "type": disk.format, "cache": "none", "error_policy": "stop", "io": "threads"}
    ET.SubElement(element, "driver", driver | {"discard": "unmap"})
    ET.SubElement(element, "source", {"file": str(file)})
    ET.SubElement(element, "target", {"dev": target, "bus": disk.bus})
    if disk.read_only:
        ET.SubElement(element, "readonly")
    ET.SubElement(element, "serial").text = disk.image
    if disk.boot_order is not None:
        ET.SubElement(element, "boot", {"order": str(disk.boot_order)})
    ET.SubElement(element, "alias", {"name": disk_alias(disk.image)})
    return element


def cdrom_element(file: Path | None, boot_order: int) -> ET.Element:
    """The CD drive, full or empty; it is tried after the disks, so that an empty disk can be installed."""
    element = ET.Element("disk", {"type": "file", "device": "cdrom"})
    ET.SubElement(element, "driver", {"name": "qemu", "type": "raw", "error_policy": "report"})
    if file is not None:
        ET.SubElement(element, "source", {"file": str(file)})
    ET.SubElement(element, "target", {"dev": CDROM_TARGET, "bus": "sata"})
    ET.SubElement(element, "readonly")
    ET.SubElement(element, "boot", {"order": str(boot_order)})
    return element


def nic_element(nic: NicConfig) -> ET.Element:
    """A network card plugged into a bridge of the host. Raises GuestXmlError for a PCI address of another form."""
    element = ET.Element("interface", {"type": "bridge"})
    ET.SubElement(element, "mac", {"address": nic.mac})
    ET.SubElement(element, "source", {"bridge": nic.bridge})
    ET.SubElement(element, "model", {"type": nic.model})
    ET.SubElement(element, "link", {"state": nic.link})
    ET.SubElement(element, "alias", {"name": nic_alias(nic.mac)})
    if nic.pci is not None:
        element.append(pci_element(nic.pci))
    return element


def pci_element(address: str) -> ET.Element:
    """`dddd:bb:ss.f` as an address element. Raises GuestXmlError for another form."""
    match = _PCI.match(address)
    if match is None:
        raise GuestXmlError(f"PCI address `{address}` is not of the form 0000:00:00.0")
    domain, bus, slot, function = match.groups()
    parts = {"domain": f"0x{domain}", "bus": f"0x{bus}", "slot": f"0x{slot}", "function": f"0x{function}"}
    return ET.Element("address", {"type": "pci"} | parts)


def read_pci(device: ET.Element) -> str | None:
    """A device's PCI address as `dddd:bb:ss.f`, None where it has none."""
    address = device.find("address[@type='pci']")
    if address is None:
        return None
    parts = [address.get(key, "0x0") for key in ("domain", "bus", "slot", "function")]
    domain, bus, slot, function = (int(part, 16) for part in parts)
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def choose_target(bus: DiskBus, taken: Iterable[str]) -> str:
    """The first free target name of a bus: vda, vdb, …; sd names leave the first to the CD drive.

    Raises GuestXmlError beyond 702 disks.
    """
    prefix = TARGET_PREFIXES[bus]
    used = {*taken, CDROM_TARGET}
    names = (prefix + letters for letters in _letters())
    free = next((name for name in names if name not in used), None)
    if free is None:
        raise GuestXmlError(f"no target name is free on bus {bus}: attach fewer disks")
    return free


def _letters() -> Iterable[str]:
    yield from ascii_lowercase
    for first in ascii_lowercase:
        for second in ascii_lowercase:
            yield first + second
