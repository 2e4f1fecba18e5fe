"""stop-vm: a guest of this host ends, and its run is closed with the order's reason."""

from typing import Any

from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.vm_living import REPLAN, is_gone, read_living
from nodeagent.operations.vm_places import keep_findings, open_record
from nodeagent.operations.vm_stopping import close_stopped, stop_guest
from nodeagent.wire.arguments import StopVm


def _check(host: Host, wanted: StopVm) -> str | None:
    run = open_record(host, wanted.master, wanted.vm).record.run
    if run is None or run.number != wanted.run:
        return f"the last run of VM {wanted.vm} is {run.number if run else 'none'}, not {wanted.run}"
    if host.uuid not in [runner.uuid for runner in run.hosts]:
        return f"run {wanted.run} of VM {wanted.vm} is not on this host"
    if not host.hypervisor.is_running(wanted.vm):
        return None  # it ended meanwhile: its run is closed all the same
    if (
        wanted.mode == "shutdown"
        and not wanted.then_destroy
        and host.hypervisor.guest_state(wanted.vm)[0] == "paused"
    ):
        return (
            f"guest {wanted.vm} is paused and cannot shut down: resume it first, or stop it with mode destroy"
        )
    reading = read_living(host, wanted.vm)
    if reading.managed and reading.config is not None and reading.config.run != wanted.run:
        return f"guest {wanted.vm} lives its run {reading.config.run}, not {wanted.run}"
    return None


def _run(host: Host, wanted: StopVm, control: Control) -> dict[str, Any]:
    records = open_record(host, wanted.master, wanted.vm)
    stop_guest(host, wanted.vm, wanted.mode, wanted.timeout_ms, control, then_destroy=wanted.then_destroy)
    close_stopped(host, records, wanted.run, wanted.reason, control, by_manifest=wanted.stopped_by_manifest)
    if wanted.disks is not None:
        keep_findings(records, (), wanted.disks)
    return {}


def _verify(host: Host, wanted: StopVm) -> str | None:
    if not is_gone(host, wanted.vm):
        return f"guest {wanted.vm} runs"
    run = open_record(host, wanted.master, wanted.vm).record.run
    if run is not None and run.number == wanted.run and run.closed is None:
        return f"run {wanted.run} is still open"
    return None


def _recover(host: Host, wanted: StopVm, control: Control) -> bool | None:
    if not is_gone(host, wanted.vm):
        return False
    records = open_record(host, wanted.master, wanted.vm)
    run = records.record.run
    if run is None or run.number != wanted.run:
        raise OperationError(f"the last run of VM {wanted.vm} is not {wanted.run} any more", REPLAN)
    close_stopped(host, records, wanted.run, wanted.reason, control, by_manifest=wanted.stopped_by_manifest)
    return True


OPERATION: Operation[StopVm] = Operation(
    kind="stop-vm", check=_check, run=_run, verify=_verify, recover=_recover
)
