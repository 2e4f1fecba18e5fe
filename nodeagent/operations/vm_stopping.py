"""Stopping a guest: asked by its power button or unplugged, proven gone, its run closed, its definition forgotten.

Used by stop-vm and reboot-vm.
"""

import time
from typing import Literal

from nodeagent.drivers.command import never
from nodeagent.drivers.libvirt_errors import NotAnsweringError
from nodeagent.host import Host
from nodeagent.operations.contract import Control, OperationError
from nodeagent.operations.vm_living import wait_gone
from nodeagent.operations.vm_places import RecordPlace
from nodeagent.wire.orders import Progress
from nodeagent.wire.records import ExitReason

PRESS_AGAIN_MS = 5_000
"""A guest that has not finished booting misses the button: it is pressed again."""
GONE_MS = 30_000
"""How long a destroyed QEMU may take to leave the process table."""


def stop_guest(
    host: Host,
    vm: str,
    mode: Literal["shutdown", "destroy"],
    timeout_ms: int,
    control: Control,
    *,
    then_destroy: bool = False,
) -> None:
    """Make the guest end, and see that it has; a persistent domain is forgotten. Raises OperationError.

    then_destroy: a guest that does not shut down in its time is destroyed; else that is an error.
    """
    persistent = host.hypervisor.is_running(vm) and host.hypervisor.is_persistent(vm)
    if mode == "destroy":
        _destroy(host, vm)
    elif not _press_until_gone(host, vm, timeout_ms, control, insist=then_destroy):
        if not then_destroy:
            raise OperationError(
                f"guest {vm} did not shut down within {timeout_ms // 1000} s",
                "look at its console, or stop it with mode destroy",
            )
        control.report(Progress("did not shut down in its time: its plug is pulled"))
        _destroy(host, vm)
    if persistent:
        host.hypervisor.undefine(vm)


def _destroy(host: Host, vm: str) -> None:
    host.hypervisor.destroy(vm)
    if not wait_gone(host, vm, GONE_MS, never):
        raise OperationError(
            f"QEMU of guest {vm} does not end", "see whether it waits for storage", settled=False
        )


def _press_until_gone(host: Host, vm: str, timeout_ms: int, control: Control, *, insist: bool) -> bool:
    """Whether the guest shut down within its time. insist: one that hangs is waited for as well; else that is an error."""
    began_ms, waited, answers = _now_ms(), 0, True
    while waited < timeout_ms:
        try:
            if host.hypervisor.is_running(vm):
                _press(host, vm)
        except NotAnsweringError:
            if not insist:
                raise
            answers = False
        control.report(Progress(f"asked the guest to shut down, {waited // 1000} s ago at first"))
        part = min(PRESS_AGAIN_MS, timeout_ms - waited)
        if wait_gone(host, vm, part, control.cancelled):
            return True
        if control.cancelled():
            why = "it may still do so; observe it"
            raise OperationError(f"cancelled before guest {vm} shut down", why, settled=answers)
        waited = _now_ms() - began_ms
    return False


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _press(host: Host, vm: str) -> None:
    try:
        host.hypervisor.shut_down(vm)
    except OperationError:
        if host.hypervisor.is_running(vm):
            raise


def close_stopped(
    host: Host, records: RecordPlace, run: int, reason: ExitReason, control: Control, *, by_manifest: bool
) -> None:
    """Close the run of a guest that is gone, and forget its exit. Raises OperationError."""
    records.close(run, reason, control.key, by_manifest=by_manifest)
    host.exits.forget(records.vm, run)
