"""Which files the guests of this host have, as libvirt says; and growing a disk through the guest that has it."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from nodeagent.guestxml.place import GuestXmlError
from nodeagent.guestxml.reading import parse_domain
from nodeagent.host import Host
from nodeagent.operations.contract import OperationError


def files_in_use(host: Host) -> set[Path]:
    """Every file of a storage domain that a running guest of this host was given: volumes, parents, CDs, UEFI variables.

    Raises OperationError if libvirt does not list its guests or one of them cannot be understood.
    """
    found: set[Path] = set()
    for row in host.hypervisor.list_guests():
        if row.running and row.xml is not None:
            found |= set(_files(_parse(row.xml, row.uuid)))
    return found


def files_of_guest(host: Host, vm: str) -> set[Path]:
    """As `files_in_use`, of one running guest. Raises OperationError."""
    return set(_files(_parse(host.hypervisor.domain_xml(vm), vm)))


def _parse(xml: str, vm: str) -> ET.Element:
    try:
        return parse_domain(xml)
    except GuestXmlError as error:
        raise OperationError(
            f"guest {vm} cannot be understood, so nobody knows its disks: {error}", "look at it with virsh"
        ) from error


def _files(domain: ET.Element) -> Iterator[Path]:
    for source in domain.iterfind("devices/disk//source"):
        for attribute in ("file", "dev"):
            if source.get(attribute):
                yield Path(source.get(attribute, ""))
    for state in domain.iterfind("os/nvram"):
        if state.text:
            yield Path(state.text.strip())


def grow_through_guest(host: Host, vm: str, volume: Path, capacity_bytes: int) -> None:
    """Grow the disk of a running guest that lies in `volume`; the guest sees it at once. Raises OperationError."""
    domain = _parse(host.hypervisor.domain_xml(vm), vm)
    for disk in domain.iterfind("devices/disk[@device='disk']"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and source.get("file") == str(volume):
            host.hypervisor.resize_disk(vm, target.get("dev", ""), capacity_bytes)
            return
    raise OperationError(f"guest {vm} does not have {volume} as a disk", "observe and plan anew")
