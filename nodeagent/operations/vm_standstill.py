"""Moving a guest without KVM: it stands still while its memory moves, because this QEMU would lose some of its writes.

Before 9.0, QEMU does not notice what an emulated guest writes to a page through a cached translation after the page
was sent; the guest goes on at the destination with memory of different times, and crashes. Used by migrate-vm.
"""

from collections.abc import Callable

from nodeagent.guestxml.place import GuestXmlError
from nodeagent.guestxml.reading import parse_domain
from nodeagent.host import Host
from nodeagent.operations.contract import Control, OperationError

SLOWEST_MIB_PER_S = 1
"""Bandwidth until the guest stands still: what is sent before that may be lost."""
UNLIMITED_MIB_PER_S = (2**63 - 1) // 2**20
"""libvirt's largest bandwidth."""
LOOK_MS = 10


def loses_writes(host: Host, vm: str) -> bool:
    """Whether the memory of this running guest must not change while it moves. Raises OperationError."""
    try:
        domain = parse_domain(host.hypervisor.domain_xml(vm))
    except GuestXmlError as error:
        raise OperationError(str(error), "look at the guest with `virsh dumpxml`") from error
    if domain.get("type") != "qemu":
        return False
    return host.hypervisor.version().loses_writes


def hold_still(
    host: Host, vm: str, bandwidth_mib_per_s: int, control: Control, ended: Callable[[int], bool]
) -> None:
    """Halt the guest as soon as its memory begins to move, then let it move at full bandwidth.

    libvirt itself lets the guest go on: at the destination, or here if the migration fails.
    """
    while not ended(LOOK_MS) and not control.cancelled():
        try:
            progress = host.hypervisor.job_progress(vm)
            if progress.operation == "migration-out" and progress.total_bytes:
                host.hypervisor.suspend(vm)
                host.hypervisor.set_migration_bandwidth(vm, bandwidth_mib_per_s or UNLIMITED_MIB_PER_S)
                return
        except OperationError:
            continue  # not far enough yet, or over already
