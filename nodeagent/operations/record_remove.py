"""remove-vm: turns a VM's record into a tombstone, with the consent that the record holds, which is used up by it.

What the VM kept besides its disks, UEFI variables and TPM state, is set aside then; of a VM that has its tombstone,
what is left on storage or on this host.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from nodeagent.clock import wallclock_ms
from nodeagent.formats.vmrecords import read_vm_record, write_vm_record
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.record_exit import runs_here
from nodeagent.operations.record_places import find_copy, find_master
from nodeagent.operations.vm_state import find_state, set_aside_state
from nodeagent.wire.arguments import RemoveVm
from nodeagent.wire.records import VmRecord


def _objection(host: Host, arguments: RemoveVm) -> str | None:
    record = read_vm_record(find_master(host, arguments.master), arguments.vm)
    if record is None:
        return f"VM {arguments.vm} has no record"
    if record.removed:
        return f"VM {arguments.vm} runs on this host" if runs_here(host, arguments.vm) else None
    if not record.managed:
        return f"VM {arguments.vm} is not managed by Ostler"
    if record.allow_destroy != arguments.vm:
        return f"nobody has consented to remove VM {arguments.vm}: its record does not allow it"
    if record.run is not None and record.run.closed is None:
        return f"run {record.run.number} of VM {arguments.vm} is open: it may still run"
    if runs_here(host, arguments.vm):
        return f"VM {arguments.vm} runs on this host"
    return None


def _run(host: Host, arguments: RemoveVm, control: Control) -> dict[str, Any]:
    objection = _objection(host, arguments)
    if objection is not None:
        raise OperationError(objection, "observe and plan anew")
    place = find_master(host, arguments.master)
    record = read_vm_record(place, arguments.vm)
    if record is None:
        return {}
    if not record.removed:
        _bury(host, arguments, place, record, control)
    set_aside_state(host, arguments.master, record)
    return {}


def _bury(host: Host, arguments: RemoveVm, place: Path, record: VmRecord, control: Control) -> None:
    tombstone = replace(
        record,
        removed=True,
        removed_at_ms=wallclock_ms(),
        allow_destroy=None,
        intents=(),
        revision=record.revision + 1,
        last_order=control.key,
    )
    # A copy out of reach stays behind with a lower revision, which never counts beside the tombstone.
    write_vm_record(place, find_copy(host, arguments.master, record, required=False), tombstone)


def _verify(host: Host, arguments: RemoveVm) -> str | None:
    record = read_vm_record(find_master(host, arguments.master), arguments.vm)
    if record is None or not record.removed:
        return "the VM's record is no tombstone"
    return find_state(host, arguments.master, record)


def _recover(host: Host, arguments: RemoveVm, _control: Control) -> bool:
    """Nobody asks again to remove what has a tombstone, so what is left then is completed."""
    record = read_vm_record(find_master(host, arguments.master), arguments.vm)
    if record is None or not record.removed:
        return False
    set_aside_state(host, arguments.master, record)
    return True


OPERATION: Operation[RemoveVm] = Operation(
    kind="remove-vm",
    check=_objection,
    run=_run,
    verify=_verify,
    recover=_recover,
    locks=lambda arguments: (f"record/{arguments.vm}",),
)
