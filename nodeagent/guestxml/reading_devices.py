"""Disks, CD, cards and the rest of a domain's devices as a manifest would name them.

Used by `reading`; `gaps` collects what a manifest cannot express.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import cast, get_args

from nodeagent.guestxml.devices import read_pci
from nodeagent.guestxml.place import parse_iso, parse_volume
from nodeagent.wire.guest import (
    CdromConfig,
    DiskBus,
    DiskConfig,
    DiskFormat,
    GuestConfig,
    LinkState,
    NicConfig,
    NicModel,
)

EXPRESSED = {"disk", "interface", "serial", "console", "graphics", "memballoon", "rng", "tpm", "panic"}
HARMLESS = {"emulator", "controller", "input", "hub", "video", "audio", "sound", "channel", "redirdev"}
"""Devices that a manifest does not name; a guest that loses them at its next start goes on working."""


def read_disks(domain: ET.Element, known: GuestConfig, gaps: list[str]) -> tuple[DiskConfig, ...]:
    """The disks, in the order in which they were asked for; others follow in libvirt's order."""
    found = [_disk(element, known, gaps) for element in domain.findall("devices/disk")]
    order = {disk.image: index for index, disk in enumerate(known.disks)}
    disks = [disk for disk in found if disk is not None]
    return tuple(sorted(disks, key=lambda disk: order.get(disk.image, len(order))))


def _disk(element: ET.Element, known: GuestConfig, gaps: list[str]) -> DiskConfig | None:
    if element.get("device", "disk") == "cdrom":
        return None
    target, driver, source = element.find("target"), element.find("driver"), element.find("source")
    name = "?" if target is None else target.get("dev", "?")
    path = "" if source is None else source.get("file", "")
    place = parse_volume(path)
    if place is None:
        gaps.append(f"disk {name}: `{path or 'no file'}` lies in no storage domain")
        return None
    bus = "" if target is None else target.get("bus", "")
    form = "raw" if driver is None else driver.get("type", "raw")
    if (
        element.get("device", "disk") != "disk"
        or bus not in get_args(DiskBus)
        or form not in get_args(DiskFormat)
    ):
        gaps.append(f"disk {name}: {element.get('device')} on {bus}, format {form}")
        return None
    storage_domain, image, volume = place
    names = {disk.image: disk.name for disk in known.disks}
    boot = element.find("boot")
    return DiskConfig(
        name=names.get(image, f"disk/{image}"),
        storage_domain=storage_domain,
        image=image,
        volume=volume,
        format=cast(DiskFormat, form),
        bus=cast(DiskBus, bus),
        boot_order=None if boot is None else int(boot.get("order", "0")),
        read_only=element.find("readonly") is not None,
    )


def image_of(element: ET.Element) -> str | None:
    """The image uuid of a disk element, None if its file lies in no storage domain."""
    source = element.find("source")
    place = None if source is None else parse_volume(source.get("file", ""))
    return None if place is None else place[1]


def read_cdrom(domain: ET.Element, gaps: list[str]) -> CdromConfig | None:
    """The first CD drive, full or empty; None without a drive."""
    drives = domain.findall("devices/disk[@device='cdrom']")
    if not drives:
        return None
    gaps.extend("a second CD drive" for _ in drives[1:])
    source = drives[0].find("source")
    if source is None:
        return CdromConfig()
    iso = parse_iso(source.get("file", ""))
    if iso is None:
        gaps.append(f"CD: `{source.get('file', '')}` lies in no storage domain")
        return CdromConfig()
    return CdromConfig(*iso)


def read_nics(
    domain: ET.Element, known: GuestConfig, networks: Mapping[str, str], gaps: list[str]
) -> tuple[NicConfig, ...]:
    """The network cards, in the order in which they were asked for; others follow in libvirt's order."""
    found = []
    for index, element in enumerate(domain.findall("devices/interface"), start=1):
        nic = _nic(element, index, known, networks)
        if nic is None:
            gaps.append(f"network card {index}: type {element.get('type')} on no bridge, or of another model")
        else:
            found.append(nic)
    order = {nic.mac: index for index, nic in enumerate(known.nics)}
    return tuple(sorted(found, key=lambda nic: order.get(nic.mac, len(order))))


def _nic(
    element: ET.Element, index: int, known: GuestConfig, networks: Mapping[str, str]
) -> NicConfig | None:
    mac, source, model = element.find("mac"), element.find("source"), element.find("model")
    bridge = "" if source is None else source.get("bridge", "")
    kind = "rtl8139" if model is None else model.get("type", "")
    if mac is None or not bridge or kind not in get_args(NicModel):
        return None
    address = mac.get("address", "").lower()
    asked = next((nic for nic in known.nics if nic.mac == address), None)
    link = element.find("link")
    return NicConfig(
        name=f"nic{index}" if asked is None else asked.name,
        network=_network(bridge, asked, networks),
        bridge=bridge,
        mac=address,
        model=cast(NicModel, kind),
        link=cast(LinkState, "up" if link is None else link.get("state", "up")),
        pci=read_pci(element),
    )


def _network(bridge: str, asked: NicConfig | None, networks: Mapping[str, str]) -> str:
    """The logical network behind a bridge: as asked for, as the host made it, or one named after the bridge."""
    if asked is not None and asked.bridge == bridge:
        return asked.network
    return networks.get(bridge) or "net/" + (
        re.sub(r"[^a-z0-9.-]+", "-", bridge.lower()).strip("-.") or "unnamed"
    )


def strange_devices(domain: ET.Element) -> list[str]:
    """Devices that a manifest cannot express, each once."""
    tags = {child.tag for child in domain.findall("devices/*")}
    found = [f"device {tag}" for tag in sorted(tags - EXPRESSED - HARMLESS)]
    if domain.find("devices/graphics[@type='spice']") is not None:
        found.append("SPICE console")
    return found
