"""purge-vm: deletes what is set aside of a VM that was removed long enough ago. Its record, a tombstone, stays."""

from typing import Any

from nodeagent.clock import wallclock_ms
from nodeagent.formats.vmrecords import read_vm_record
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.disk_images import refuse
from nodeagent.operations.record_exit import runs_here
from nodeagent.operations.record_places import find_master
from nodeagent.operations.vm_state import find_state, purge_state
from nodeagent.wire.arguments import PurgeVm
from nodeagent.wire.records import VmRecord


def _objection(host: Host, arguments: PurgeVm) -> str | None:
    record = _record(host, arguments)
    if record is None or not record.removed:
        return f"VM {arguments.vm} is not marked removed by a record of Ostler"
    if record.removed_at_ms is None:
        return f"the tombstone of VM {arguments.vm} does not say when it was removed"
    age_ms = wallclock_ms() - record.removed_at_ms
    if age_ms < 0:
        return "the VM was removed in the future by this host's clock; set the clock right"
    if age_ms < arguments.retention_ms:
        return f"the VM was removed {age_ms} ms ago, and what it kept stays for {arguments.retention_ms} ms"
    return f"VM {arguments.vm} runs on this host" if runs_here(host, arguments.vm) else None


def _record(host: Host, arguments: PurgeVm) -> VmRecord | None:
    return read_vm_record(find_master(host, arguments.master), arguments.vm)


def _run(host: Host, arguments: PurgeVm, _control: Control) -> dict[str, Any]:
    refuse(_objection(host, arguments))
    record = _record(host, arguments)
    if record is not None:
        purge_state(host, arguments.master, record)
    return {}


def _difference(host: Host, arguments: PurgeVm) -> str | None:
    record = _record(host, arguments)
    return find_state(host, arguments.master, record, aside=True) if record is not None else None


OPERATION: Operation[PurgeVm] = Operation(
    kind="purge-vm",
    check=_objection,
    run=_run,
    verify=_difference,
    recover=lambda host, arguments, _control: _difference(host, arguments) is None,
    locks=lambda arguments: (f"record/{arguments.vm}",),
)
