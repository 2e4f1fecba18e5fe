"""record-exit: closes a VM's open run with its reason, once every host that the run names is known not to run it.

A closed run lets the VM be started anywhere, so the order has to prove for each of these hosts what a start would:
this one is looked at, the others are in its evidence.
"""

from typing import Any

from nodeagent.formats.vmrecords import close_run, read_vm_record
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.record_places import find_copy, find_master
from nodeagent.wire.arguments import RecordExit
from nodeagent.wire.orders import Evidence, HostEvidence
from nodeagent.wire.records import Run, RunHost


def _objection(host: Host, arguments: RecordExit) -> str | None:
    record = read_vm_record(find_master(host, arguments.master), arguments.vm)
    if record is None:
        return f"VM {arguments.vm} has no record"
    if record.run is None or record.run.number != arguments.run:
        return f"the VM's last run is {record.run.number if record.run else 'none'}, not {arguments.run}"
    if record.run.closed is None and runs_here(host, arguments.vm):
        return f"VM {arguments.vm} runs on this host"
    return None


def runs_here(host: Host, vm: str) -> bool:
    """Whether libvirt or the process list of this host knows the VM as running. Raises OperationError."""
    return vm in host.hypervisor.list_processes() or host.hypervisor.is_running(vm)


def _run(host: Host, arguments: RecordExit, control: Control) -> dict[str, Any]:
    objection = _objection(host, arguments)
    if objection is not None:
        raise OperationError(objection, "observe and plan anew")
    place = find_master(host, arguments.master)
    record = read_vm_record(place, arguments.vm)
    if record is not None and record.run is not None:
        _refuse_unproven(host, record.run, control.evidence)
    close_run(
        place,
        find_copy(host, arguments.master, record, required=False),
        arguments.vm,
        arguments.run,
        arguments.reason,
        arguments.stopped_by_manifest,
        control.key,
        arguments.ends,
    )
    host.exits.forget(arguments.vm, arguments.run)
    return {}


def _refuse_unproven(host: Host, run: Run, evidence: Evidence | None) -> None:
    if run.closed is not None:
        return
    if not run.hosts and (evidence is None or evidence.basis != "hosts"):
        raise OperationError("the run names no host, and nothing proves that none runs the VM", "plan anew")
    proofs = {proof.host: proof for proof in evidence.hosts} if evidence else {}
    for named in run.hosts:
        if named.uuid != host.uuid and not _proves(proofs.get(named.uuid), named):
            raise OperationError(
                f"nothing proves that host {named.uuid} does not run the VM any more",
                "wait until the host answers, or prove that it is off",
            )


def _proves(proof: HostEvidence | None, named: RunHost) -> bool:
    if proof is None:
        return False
    if proof.kind in ("fenced", "confirmed"):
        return proof.boot_id == named.boot_id
    return proof.kind != "boot-changed" or proof.boot_id not in (None, named.boot_id)


def _verify(host: Host, arguments: RecordExit) -> str | None:
    record = read_vm_record(find_master(host, arguments.master), arguments.vm)
    run = record.run if record else None
    if run is None or (run.number == arguments.run and run.closed is None):
        return f"run {arguments.run} is still open"
    return None


OPERATION: Operation[RecordExit] = Operation(
    kind="record-exit",
    check=_objection,
    run=_run,
    verify=_verify,
    recover=lambda host, arguments, _control: _verify(host, arguments) is None,
    locks=lambda arguments: (f"record/{arguments.vm}",),
)
