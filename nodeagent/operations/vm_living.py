"""Guests that run on this host, as the operations on them see them: found, labelled, proven gone.

Shared by the operations on VMs.
"""

from collections.abc import Callable
from dataclasses import replace

from nodeagent.drivers.libvirt_errors import GuestNotFoundError, NotAnsweringError
from nodeagent.guestxml.metadata import GuestMetadata, metadata_xml
from nodeagent.guestxml.place import GuestXmlError
from nodeagent.guestxml.reading import GuestReading, read_guest
from nodeagent.host import Host
from nodeagent.operations.contract import OperationError
from nodeagent.wire.guest import GuestConfig

REPLAN = "observe and plan anew"


def read_living(host: Host, vm: str) -> GuestReading:
    """The guest as libvirt has it now. Raises OperationError if it is not here or cannot be read."""
    try:
        return read_guest(host.hypervisor.domain_xml(vm))
    except GuestXmlError as error:
        raise OperationError(
            f"guest {vm} cannot be read: {error}", "look at it with `virsh dumpxml`"
        ) from error


def living_config(host: Host, vm: str) -> GuestConfig:
    """What the running guest is made of. Raises OperationError if that cannot be expressed."""
    reading = read_living(host, vm)
    if reading.config is None:
        raise OperationError(
            f"guest {vm} is not understood: {'; '.join(reading.gaps)}", "stop it and start it anew"
        )
    return reading.config


def refuse_absent(host: Host, vm: str) -> str | None:
    """A refusal unless the guest runs here."""
    return None if host.hypervisor.is_running(vm) else f"guest {vm} does not run on this host"


def is_gone(host: Host, vm: str) -> bool:
    """Whether neither libvirt nor the kernel knows a QEMU of this VM. Raises OperationError if one does not say."""
    return not host.hypervisor.is_running(vm) and vm not in host.hypervisor.list_processes()


def wait_gone(host: Host, vm: str, limit_ms: int, cancelled: Callable[[], bool]) -> bool:
    """Whether the guest is gone within limit_ms, both to libvirt and to the kernel. Raises OperationError.

    While its QEMU does not answer it is not gone: libvirt may still hold a call to one that was just destroyed.
    """

    def gone() -> bool:
        try:
            return is_gone(host, vm)
        except NotAnsweringError:
            return False

    return host.hypervisor.wait_until(gone, limit_ms, cancelled)


def relabel(host: Host, vm: str, change: Callable[[GuestMetadata], GuestMetadata]) -> None:
    """Change our element in the running guest's metadata. A guest without one is left as it is."""
    metadata = read_living(host, vm).metadata
    if metadata is None:
        return
    changed = change(metadata)
    if changed != metadata:
        host.hypervisor.set_metadata(vm, metadata_xml(changed))


def relabel_config(host: Host, vm: str, change: Callable[[GuestConfig], GuestConfig]) -> None:
    """As `relabel`, for the configuration that our element holds."""
    relabel(host, vm, lambda metadata: replace(metadata, config=change(metadata.config)))


def as_found(look: Callable[[], str | None]) -> bool:
    """For `recover`: whether a look after a restart finds the wish fulfilled. A guest that is gone is not."""
    try:
        return look() is None
    except GuestNotFoundError:
        return False
