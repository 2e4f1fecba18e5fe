"""reboot-vm: a guest ends and begins its next run with a new configuration, in one order."""

from typing import Any

from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.vm_living import is_gone, living_config
from nodeagent.operations.vm_places import open_record
from nodeagent.operations.vm_starting import difference_to, objection_to_start, recover_start, start_guest
from nodeagent.operations.vm_stopping import close_stopped, stop_guest
from nodeagent.wire.arguments import RebootVm


def _check(host: Host, wanted: RebootVm) -> str | None:
    run = open_record(host, wanted.master, wanted.config.uuid).record.run
    if run is None or run.number != wanted.config.run - 1 or run.closed is not None:
        number = run.number if run else "none"
        return f"the last run is {number}: run {wanted.config.run} cannot follow it by a reboot"
    if [runner.uuid for runner in run.hosts] != [host.uuid]:
        return f"run {run.number} of VM {wanted.config.uuid} is not on this host alone"
    return objection_to_start(host, wanted.config, wanted.master)


def _run(host: Host, wanted: RebootVm, control: Control) -> dict[str, Any]:
    vm, run = wanted.config.uuid, wanted.config.run
    records = open_record(host, wanted.master, vm)
    stop_guest(host, vm, "shutdown", wanted.timeout_ms, control, then_destroy=wanted.then_destroy)
    close_stopped(host, records, run - 1, "stopped", control, by_manifest=True)
    return start_guest(host, wanted.config, wanted.master, control)


def _recover(host: Host, wanted: RebootVm, control: Control) -> bool | None:
    vm, run = wanted.config.uuid, wanted.config.run
    if not is_gone(host, vm):
        return living_config(host, vm).run == run
    records = open_record(host, wanted.master, vm)
    last = records.record.run
    if last is not None and last.number == run - 1 and last.closed is None:
        close_stopped(host, records, run - 1, "stopped", control, by_manifest=True)
        return False
    return recover_start(host, wanted.config, wanted.master, control)


OPERATION: Operation[RebootVm] = Operation(
    kind="reboot-vm",
    check=_check,
    run=_run,
    verify=lambda host, wanted: difference_to(host, wanted.config),
    recover=_recover,
)
