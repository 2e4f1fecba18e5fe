"""Devices of a running guest: found in its XML, plugged, changed, and unplugged with the guest's consent.

Shared by the operations on cards, disks, the CD and the console.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable

from nodeagent.guestxml.reading import parse_domain
from nodeagent.host import Host
from nodeagent.operations.contract import Control, OperationError

ASK_AGAIN_MS = 5_000
"""A guest that has not finished booting misses the request: it is asked again."""

Find = Callable[[ET.Element], ET.Element | None]


def device_xml(element: ET.Element) -> str:
    """A device element as the text that libvirt takes."""
    return ET.tostring(element, encoding="unicode")


def find_device(host: Host, vm: str, find: Find) -> ET.Element | None:
    """A device of the running guest, None if it has none such. Raises OperationError."""
    return find(parse_domain(host.hypervisor.domain_xml(vm)))


def the_device(host: Host, vm: str, find: Find, what: str) -> ET.Element:
    """As `find_device`, but its absence is an OperationError."""
    device = find_device(host, vm, find)
    if device is None:
        raise OperationError(f"guest {vm} has no {what}", "observe and plan anew")
    return device


def unplug(host: Host, vm: str, find: Find, what: str, control: Control) -> None:
    """Take a device out and wait until the guest let go of it; nothing to do if it is out. Raises OperationError."""
    while (device := find_device(host, vm, find)) is not None:
        if control.cancelled():
            raise OperationError(
                f"guest {vm} did not let go of {what} in time; it may still do so",
                "see whether the guest has booted and uses it, then try again",
            )
        _ask(host, vm, find, device)
        limit_ms = min(ASK_AGAIN_MS, control.remaining_ms())
        host.hypervisor.wait_until(lambda: find_device(host, vm, find) is None, limit_ms, control.cancelled)


def _ask(host: Host, vm: str, find: Find, device: ET.Element) -> None:
    try:
        host.hypervisor.detach_device(vm, device_xml(device))
    except OperationError:
        # libvirt refuses a second request while the first one waits for the guest
        if find_device(host, vm, find) is not None and not _is_leaving(host, vm):
            raise


def _is_leaving(host: Host, vm: str) -> bool:
    return host.hypervisor.is_running(vm)
