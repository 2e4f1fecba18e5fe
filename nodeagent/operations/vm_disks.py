"""attach-disk, detach-disk and change-cdrom: disks and the CD of a running guest, disks known by their image.

No byte of a volume changes here.
"""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodeagent.guestxml.devices import choose_target, disk_element
from nodeagent.guestxml.reading import parse_domain
from nodeagent.guestxml.reading_devices import image_of
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.vm_devices import Find, device_xml, find_device, the_device, unplug
from nodeagent.operations.vm_living import as_found, living_config, refuse_absent, relabel_config
from nodeagent.wire.arguments import AttachDisk, ChangeCdrom, DetachDisk
from nodeagent.wire.guest import CdromConfig, DiskConfig, GuestConfig


def disk_of(image: str) -> Find:
    """Finds a guest's disk by its image."""

    def find(domain: ET.Element) -> ET.Element | None:
        disks = domain.findall("devices/disk[@device='disk']")
        return next((disk for disk in disks if image_of(disk) == image), None)

    return find


def cd_drive(domain: ET.Element) -> ET.Element | None:
    """A guest's CD drive."""
    return domain.find("devices/disk[@device='cdrom']")


def _living_disk(host: Host, vm: str, image: str) -> DiskConfig | None:
    return next((disk for disk in living_config(host, vm).disks if disk.image == image), None)


def _difference(host: Host, wanted: AttachDisk) -> str | None:
    found = _living_disk(host, wanted.vm, wanted.disk.image)
    if found is None:
        return f"the guest has no disk {wanted.disk.image}"
    # a plugged disk takes part in booting only from the next start on
    same = replace(found, name=wanted.disk.name, boot_order=wanted.disk.boot_order) == wanted.disk
    return None if same else f"disk {wanted.disk.image} is {found}"


def _check_attach(host: Host, wanted: AttachDisk) -> str | None:
    if wanted.disk.bus not in ("virtio", "scsi"):
        return f"a {wanted.disk.bus} disk cannot be plugged into a running guest: use virtio or scsi"
    absent = refuse_absent(host, wanted.vm)
    if absent is not None:
        return absent
    if _living_disk(host, wanted.vm, wanted.disk.image) is not None:
        return _difference(host, wanted)
    host.storage.volume_path(wanted.disk.storage_domain, wanted.disk.image, wanted.disk.volume)
    return None


def _attach(host: Host, wanted: AttachDisk, _control: Control) -> dict[str, Any]:
    disk = wanted.disk
    domain = parse_domain(host.hypervisor.domain_xml(wanted.vm))
    if disk_of(disk.image)(domain) is None:
        targets = [target.get("dev", "") for target in domain.findall("devices/disk/target")]
        file = host.storage.volume_path(disk.storage_domain, disk.image, disk.volume)
        element = disk_element(replace(disk, boot_order=None), file, choose_target(disk.bus, targets))
        host.hypervisor.attach_device(wanted.vm, device_xml(element))

    def keep(config: GuestConfig) -> GuestConfig:
        others = tuple(known for known in config.disks if known.image != disk.image)
        return replace(config, disks=(*others, disk))

    relabel_config(host, wanted.vm, keep)
    return {}


def _detach(host: Host, wanted: DetachDisk, control: Control) -> dict[str, Any]:
    image = wanted.disk.image
    unplug(host, wanted.vm, disk_of(image), f"disk {image}", control)
    relabel_config(
        host,
        wanted.vm,
        lambda config: replace(config, disks=tuple(disk for disk in config.disks if disk.image != image)),
    )
    return {}


def _still_there(host: Host, wanted: DetachDisk) -> str | None:
    found = find_device(host, wanted.vm, disk_of(wanted.disk.image))
    return None if found is None else f"the guest still has disk {wanted.disk.image}"


def _check_cdrom(host: Host, wanted: ChangeCdrom) -> str | None:
    absent = refuse_absent(host, wanted.vm)
    if absent is not None:
        return absent
    if find_device(host, wanted.vm, cd_drive) is None:
        return f"guest {wanted.vm} has no CD drive; it gets one at its next start"
    _iso(host, wanted.cdrom)
    return None


def _iso(host: Host, cdrom: CdromConfig) -> Path | None:
    """The file to insert, None to eject. Raises OperationError if it is not there."""
    if cdrom.storage_domain is None or cdrom.file is None:
        return None
    return host.storage.iso_path(cdrom.storage_domain, cdrom.file)


def _change_cdrom(host: Host, wanted: ChangeCdrom, _control: Control) -> dict[str, Any]:
    drive = the_device(host, wanted.vm, cd_drive, "CD drive")
    for source in drive.findall("source"):
        drive.remove(source)
    file = _iso(host, wanted.cdrom)
    if file is not None:
        ET.SubElement(drive, "source", {"file": str(file)})
    host.hypervisor.update_device(wanted.vm, device_xml(drive), force=True)
    relabel_config(host, wanted.vm, lambda config: replace(config, cdrom=wanted.cdrom))
    return {}


def _cdrom_difference(host: Host, wanted: ChangeCdrom) -> str | None:
    found = living_config(host, wanted.vm).cdrom
    return None if found == wanted.cdrom else f"the CD drive holds {found}"


ATTACH: Operation[AttachDisk] = Operation(
    kind="attach-disk",
    check=_check_attach,
    run=_attach,
    verify=_difference,
    recover=lambda host, wanted, _control: as_found(lambda: _difference(host, wanted)),
)
DETACH: Operation[DetachDisk] = Operation(
    kind="detach-disk",
    check=lambda host, wanted: refuse_absent(host, wanted.vm),
    run=_detach,
    verify=_still_there,
    recover=lambda host, wanted, _control: as_found(lambda: _still_there(host, wanted)),
)
CHANGE_CDROM: Operation[ChangeCdrom] = Operation(
    kind="change-cdrom",
    check=_check_cdrom,
    run=_change_cdrom,
    verify=_cdrom_difference,
    recover=lambda host, wanted, _control: as_found(lambda: _cdrom_difference(host, wanted)),
)
