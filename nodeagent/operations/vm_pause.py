"""pause-vm and resume-vm: a guest's CPUs stand still, or go on."""

from typing import Any

from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.vm_living import as_found, refuse_absent
from nodeagent.wire.arguments import PauseVm, ResumeVm
from nodeagent.wire.facts import GuestState


def _pause(host: Host, wanted: PauseVm, _control: Control) -> dict[str, Any]:
    if state_of(host, wanted.vm) != "paused":
        host.hypervisor.suspend(wanted.vm)
    return {}


def _resume(host: Host, wanted: ResumeVm, _control: Control) -> dict[str, Any]:
    if state_of(host, wanted.vm) != "running":
        host.hypervisor.resume(wanted.vm)
    return {}


def state_of(host: Host, vm: str) -> GuestState:
    """The guest's state now. Raises OperationError if it is not here."""
    return host.hypervisor.guest_state(vm)[0]


def _check_pause(host: Host, vm: str) -> str | None:
    """Also refuses a guest that its migration has halted: it goes on by itself, and would not stay paused."""
    refused = _check_incoming(host, vm)
    if refused is None and _is_halted_by_move(host, vm):
        return f"guest {vm} is being moved, and stands still meanwhile"
    return refused


def _is_halted_by_move(host: Host, vm: str) -> bool:
    return host.hypervisor.guest_state(vm) == ("paused", "migration")


def _differs_from_paused(host: Host, vm: str) -> str | None:
    if _is_halted_by_move(host, vm):
        return f"guest {vm} stands still while it moves, and is not paused"
    return _differs(host, vm, "paused")


def _differs(host: Host, vm: str, state: GuestState) -> str | None:
    found = state_of(host, vm)
    return None if found == state else f"guest {vm} is {found}, not {state}"


def _check_incoming(host: Host, vm: str) -> str | None:
    absent = refuse_absent(host, vm)
    if absent is None and state_of(host, vm) == "incoming":
        return f"guest {vm} is only arriving on this host"
    return absent


PAUSE: Operation[PauseVm] = Operation(
    kind="pause-vm",
    check=lambda host, wanted: _check_pause(host, wanted.vm),
    run=_pause,
    verify=lambda host, wanted: _differs_from_paused(host, wanted.vm),
    recover=lambda host, wanted, _control: as_found(lambda: _differs_from_paused(host, wanted.vm)),
)
RESUME: Operation[ResumeVm] = Operation(
    kind="resume-vm",
    check=lambda host, wanted: _check_incoming(host, wanted.vm),
    run=_resume,
    verify=lambda host, wanted: _differs(host, wanted.vm, "running"),
    recover=lambda host, wanted, _control: as_found(lambda: _differs(host, wanted.vm, "running")),
)
