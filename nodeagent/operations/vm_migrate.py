"""migrate-vm, carried out on the source: the run claimed on both hosts, the guest moved, the record narrowed.

libvirtd moves the guest, so that it goes on while the agent restarts; `recover` takes it up again. After any
outcome the record names exactly the hosts on which the guest can be.
"""

import re
from dataclasses import replace
from typing import Any

from nodeagent.drivers.libvirt_values import MigrationRequest
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.disk_guests import files_of_guest
from nodeagent.operations.vm_living import is_gone, refuse_absent, relabel_config
from nodeagent.operations.vm_migrating import (
    Outcome,
    follow,
    judge,
    outgoing_slot,
    over_by_looking,
    request_for,
    shown,
)
from nodeagent.operations.vm_places import RecordPlace, open_record
from nodeagent.operations.vm_standstill import SLOWEST_MIB_PER_S, hold_still, loses_writes
from nodeagent.wire.arguments import MigrateVm
from nodeagent.wire.records import Run, RunHost

ADDRESS = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$")
LOOK = "observe this VM on both hosts"


def _check(host: Host, wanted: MigrateVm) -> str | None:
    if wanted.destination == host.uuid:
        return "the destination is this host"
    if not ADDRESS.match(wanted.destination_address):
        return f"`{wanted.destination_address}` is no address of a host"
    absent = refuse_absent(host, wanted.vm)
    if absent is not None:
        return absent
    state, reason = host.hypervisor.guest_state(wanted.vm)
    if state not in ("running", "paused") or reason in ("io-error", "migration"):
        return f"guest {wanted.vm} is {state} ({reason or 'no reason given'}) and cannot be moved now"
    run = open_record(host, wanted.master, wanted.vm).record.run
    return _refuse_run(host, wanted, run) or _refuse_local(host, wanted.vm)


def _refuse_local(host: Host, vm: str) -> str | None:
    """What binds a guest to this host: a file of it that no other host can reach."""
    for domain, place in host.storage.local_directories().items():
        bound = sorted(str(file) for file in files_of_guest(host, vm) if file.is_relative_to(place))
        if bound:
            return f"{bound[0]} is in storage domain {domain}, which lies on this host alone"
    return None


def _refuse_run(host: Host, wanted: MigrateVm, run: Run | None) -> str | None:
    if run is None or run.closed is not None or run.number != wanted.run - 1:
        return f"run {wanted.run} cannot follow: the last one is {run.number if run else 'none'}"
    if [runner.uuid for runner in run.hosts] != [host.uuid]:
        return f"run {run.number} is not on this host alone"
    return None


def _run(host: Host, wanted: MigrateVm, control: Control) -> dict[str, Any]:
    with outgoing_slot(host, control), shown(host, wanted):
        records = open_record(host, wanted.master, wanted.vm)
        fault = _refuse_run(host, wanted, records.record.run)
        if fault is not None:
            raise OperationError(fault, "observe and plan anew")
        request = request_for(host, wanted)
        persistent = host.hypervisor.is_persistent(wanted.vm)
        records.claim(wanted.run, _both(records, wanted), control.key)
        reason, error = _move(host, wanted, request, control)
        outcome = judge(host, wanted.vm, left=error is None)
        _conclude(host, records, wanted, outcome)
        if outcome == "moved":
            if persistent:
                host.hypervisor.undefine(wanted.vm)
            return {"destination": wanted.destination}
        raise _failure(wanted, outcome, reason, error)


def _both(records: RecordPlace, wanted: MigrateVm) -> tuple[RunHost, ...]:
    assert records.record.run is not None
    return (*records.record.run.hosts, RunHost(wanted.destination, wanted.destination_boot_id))


def _move(
    host: Host, wanted: MigrateVm, request: MigrationRequest, control: Control
) -> tuple[str | None, OperationError | None]:
    """Why it was given up, and libvirt's error; both None if the guest has left."""
    reason: str | None = None
    try:
        still = loses_writes(host, wanted.vm)
        if still:
            request = replace(request, bandwidth_mib_per_s=SLOWEST_MIB_PER_S)
        call = host.hypervisor.begin_migration(wanted.vm, request)
        if still:
            hold_still(host, wanted.vm, wanted.bandwidth_mib_per_s, control, call.wait)
        reason = follow(host, wanted, control, call.wait)
        call.result()
    except OperationError as error:
        if not error.settled:  # the link to libvirtd broke, and libvirtd may go on alone
            reason = follow(host, wanted, control, over_by_looking(host, wanted.vm))
        return reason, error
    return None, None


def _conclude(host: Host, records: RecordPlace, wanted: MigrateVm, outcome: Outcome) -> None:
    """Narrow the record to where the guest is; one that stayed lives on under the new number."""
    destination = RunHost(wanted.destination, wanted.destination_boot_id)
    if outcome == "moved":
        records.settle(wanted.run, (destination,))
        host.exits.forget(wanted.vm, wanted.run)
    elif outcome == "stayed":
        relabel_config(host, wanted.vm, lambda config: replace(config, run=wanted.run))
        host.exits.running(wanted.vm, wanted.run)
        run = open_record(host, wanted.master, wanted.vm).record.run
        if run is not None and run.number == wanted.run:
            records.settle(wanted.run, tuple(runner for runner in run.hosts if runner != destination))


def _failure(
    wanted: MigrateVm, outcome: Outcome, reason: str | None, error: OperationError | None
) -> OperationError:
    told = reason or (error.summary if error is not None else "libvirt gave no reason")
    if outcome == "stayed":
        action = "see the guest's load and the bandwidth" if reason else (error.action if error else "")
        return OperationError(f"guest {wanted.vm} stayed on this host: {told}", action or "plan anew")
    return OperationError(f"it is not clear where guest {wanted.vm} is: {told}", LOOK, settled=False)


def _verify(host: Host, wanted: MigrateVm) -> str | None:
    if not is_gone(host, wanted.vm):
        return f"guest {wanted.vm} is still here"
    run = open_record(host, wanted.master, wanted.vm).record.run
    if run is not None and run.number == wanted.run and len(run.hosts) > 1 and run.closed is None:
        return "the record still names both hosts"
    return None


def _recover(host: Host, wanted: MigrateVm, control: Control) -> bool | None:
    with shown(host, wanted):
        records = open_record(host, wanted.master, wanted.vm)
        run = records.record.run
        if run is None or run.number < wanted.run:
            return False  # not even claimed
        if run.number > wanted.run or run.closed is not None:
            return None

        over = over_by_looking(host, wanted.vm)
        if not over(0) and loses_writes(host, wanted.vm):
            hold_still(host, wanted.vm, wanted.bandwidth_mib_per_s, control, over)
        follow(host, wanted, control, over)
        outcome = judge(host, wanted.vm, left=False)
        _conclude(host, records, wanted, outcome)
        return {"moved": True, "stayed": False, "unclear": None}[outcome]


OPERATION: Operation[MigrateVm] = Operation(
    kind="migrate-vm", check=_check, run=_run, verify=_verify, recover=_recover
)
