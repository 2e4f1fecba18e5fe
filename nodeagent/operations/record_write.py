"""write-vm-record: the next revision of a VM's record, on the master domain and its copy."""

from typing import Any

from nodeagent.formats.vmrecords import read_vm_record, write_vm_record
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.record_places import find_copy, find_master, is_same, stamp
from nodeagent.wire.arguments import WriteVmRecord


def _check(host: Host, arguments: WriteVmRecord) -> str | None:
    record, place = arguments.record, find_master(host, arguments.master)
    find_copy(host, arguments.master, record, required=True)
    current = read_vm_record(place, record.uuid)
    if is_same(current, record):
        return None
    there = current.revision if current else 0
    if record.revision <= there:
        return f"the VM's record has revision {there}, so revision {record.revision} cannot follow"
    if record.removed and (current is None or not current.removed):
        return "only remove-vm makes a tombstone of a record"
    if current is not None and current.removed and not record.removed:
        return "the VM was removed; its tombstone stays"
    if current is not None and current.data_center != record.data_center:
        return f"the VM belongs to data center {current.data_center}"
    return None


def _run(host: Host, arguments: WriteVmRecord, control: Control) -> dict[str, Any]:
    place = find_master(host, arguments.master)
    copy = find_copy(host, arguments.master, arguments.record, required=True)
    current = read_vm_record(place, arguments.record.uuid)
    done = current is not None and is_same(current, arguments.record)
    write_vm_record(place, copy, current if current and done else stamp(arguments.record, control.key))
    return {}


def _verify(host: Host, arguments: WriteVmRecord) -> str | None:
    record = arguments.record
    if not is_same(read_vm_record(find_master(host, arguments.master), record.uuid), record):
        return "the VM's record on storage is another one"
    copy = find_copy(host, arguments.master, record, required=True)
    if copy is not None and not is_same(read_vm_record(copy, record.uuid), record):
        return "the copy of the VM's record is another one"
    return None


OPERATION: Operation[WriteVmRecord] = Operation(
    kind="write-vm-record",
    check=_check,
    run=_run,
    verify=_verify,
    recover=lambda host, arguments, _control: _verify(host, arguments) is None,
    locks=lambda arguments: (f"record/{arguments.record.uuid}",),
)
