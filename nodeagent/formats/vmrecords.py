"""VM records and their runs: read, replaced, and claimed so that no VM is ever started twice.

A run number is claimed by creating `run.<number>` exclusively, with its content, beside the record; the record
follows. While `run.<number>` is the highest number there, the run counts as open even if its claimer died before
it wrote the record. Widening a run (a claim) is durable on master and copy before it counts; narrowing it (settle,
close) counts once the master has it, because a copy left behind can only name too many hosts.
The operations on VMs and records call this; the facts of storage read with it.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nodeagent.formats.records import RecordConflictError, RecordError
from nodeagent.formats.vmrecordfiles import (
    RunClaimError,
    RunFile,
    commit_vm,
    create_run,
    forget_runs,
    mirror_vm,
    read_vm_record,
    withdraw_run,
)
from nodeagent.wire.records import ExitReason, Run, RunHost, VmRecord

__all__ = [
    "RecordConflictError",
    "RecordError",
    "RunClaimError",
    "claim_run",
    "close_run",
    "read_vm_record",
    "settle_run",
    "write_vm_record",
]

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 50


def write_vm_record(place: Path, copy: Path | None, record: VmRecord) -> None:
    """Make `record` the next revision on master and copy; does nothing where it is already there.

    The run stays as storage has it; it may only change from none or closed to open with the next number, for a
    guest that already runs. Raises RecordConflictError if revision or run do not follow what is there.
    """
    current = _read_both(place, copy, record.uuid)
    if current != record:
        _refuse_broken_sequence(current, record)
        if current is not None and record.run is not None and record.run != current.run:
            create_run(place, record.uuid, RunFile(record.run.number, record.run.hosts, record.run.lease, ""))
        commit_vm(place, record)
    if copy is not None:
        mirror_vm(copy, record)


def _refuse_broken_sequence(current: VmRecord | None, record: VmRecord) -> None:
    there = current.revision if current else 0
    if record.revision != there + 1:
        raise RecordConflictError(
            f"the record of VM {record.uuid} has revision {there}, so revision {record.revision} cannot follow",
            "plan anew from the record as it is",
        )
    before = current.run if current else None
    if record.run != before and not _opens_next(before, record.run):
        raise RecordConflictError(
            f"the last run of VM {record.uuid} is {describe_run(before)}, and the new record says otherwise",
            "plan anew from the record as it is",
        )


def _opens_next(before: Run | None, after: Run | None) -> bool:
    if after is None or after.closed is not None or (before is not None and before.closed is None):
        return False
    return after.number == (before.number if before else 0) + 1


def describe_run(run: Run | None) -> str:
    """A run in a few words, for messages."""
    if run is None:
        return "none"
    hosts = ", ".join(host.uuid for host in run.hosts)
    return f"{run.number} ({run.closed or 'open'} on {hosts or 'no host'})"


def claim_run(
    place: Path,
    copy: Path | None,
    vm: str,
    number: int,
    hosts: tuple[RunHost, ...],
    key: str,
    lease: bool = False,
) -> VmRecord:
    """Claim run `number` of a VM for these hosts; when this returns, nobody else can, and it is durable.

    The last run must be number - 1 and closed; or, for a migration, open on the source alone, which is hosts[0].
    Raises RunClaimError if it is not or another claimer was quicker, RecordError if storage fails: then nothing
    may be started, though the run may be left open, and is closed like any other.
    """
    claim = RunFile(number, hosts, lease, key)
    record = _existing(_read_both(place, copy, vm), vm)
    _refuse_claim(record, claim)
    if copy is not None:
        mirror_vm(copy, record)
    create_run(place, vm, claim)
    try:
        if copy is not None:
            create_run(copy, vm, claim)
    except RecordError:
        withdraw_run(place, vm, number)
        raise
    try:
        return _store_claim(place, copy, vm, claim)
    except RecordError:
        if copy is not None:
            withdraw_run(copy, vm, number)
        withdraw_run(place, vm, number)
        raise


def _refuse_claim(record: VmRecord, claim: RunFile) -> None:
    last = record.run
    if record.removed or not claim.hosts:
        reason = "was removed" if record.removed else "cannot be claimed for no host"
        raise RunClaimError(f"VM {record.uuid} {reason}")
    if (last.number if last else 0) != claim.number - 1:
        raise RunClaimError(
            f"run {claim.number} of VM {record.uuid} cannot follow run {describe_run(last)}",
            "plan anew from the record as it is",
        )
    if last is None or last.closed is not None:
        return
    migrates = len(last.hosts) == 1 and len(claim.hosts) > 1 and claim.hosts[0] == last.hosts[0]
    if not migrates:
        raise RunClaimError(
            f"VM {record.uuid} may still run: its last run is {describe_run(last)}",
            "close that run once every host that it names is known not to run the VM",
        )


def _store_claim(place: Path, copy: Path | None, vm: str, claim: RunFile) -> VmRecord:
    wanted = Run(number=claim.number, hosts=claim.hosts, lease=claim.lease)
    for _ in range(_ATTEMPTS):
        # Read after the creation: the number of a run long closed is free again, and a late claimer finds a
        # higher one here.
        record = _existing(_read_both(place, copy, vm), vm)
        if record.removed:
            raise RunClaimError(f"VM {vm} was removed")
        if record.run != wanted:
            raise RunClaimError(
                f"run {claim.number} of VM {vm} came too late: {describe_run(record.run)} is there"
            )
        claimed = replace(record, run=wanted, revision=record.revision + 1, last_order=claim.key)
        if _stored(place, copy, claimed):
            return claimed
    raise RecordConflictError(f"the record of VM {vm} is written by somebody else all the time", "try again")


def settle_run(place: Path, copy: Path | None, vm: str, number: int, hosts: tuple[RunHost, ...]) -> VmRecord:
    """Narrow an open run to `hosts` after a migration: those on which the VM may still be alive.

    Does nothing if it is so already. Raises RunClaimError if the run is not the last one, is closed, or never
    named one of the hosts; RecordError if storage fails.
    """

    def settle(record: VmRecord, run: Run) -> VmRecord:
        if run.closed is not None or not hosts or not set(hosts) <= set(run.hosts):
            named = ", ".join(host.uuid for host in hosts)
            raise RunClaimError(f"run {describe_run(run)} of VM {vm} cannot be narrowed to `{named}`")
        return replace(record, run=replace(run, hosts=hosts))

    return _narrow(place, copy, vm, number, settle, None)


def close_run(
    place: Path,
    copy: Path | None,
    vm: str,
    number: int,
    reason: ExitReason,
    stopped_by_manifest: bool,
    key: str,
    ends: int | None = None,
) -> VmRecord:
    """Close a run with its reason, after every host that it names is known not to run the VM.

    ends: how many runs in a row then ended by themselves; a start that failed leaves their number as it is.
    Does nothing if it is closed already: the first reason stands. Raises RunClaimError if the run is not the
    last one, RecordError if storage fails.
    """

    def close(record: VmRecord, run: Run) -> VmRecord:
        if run.closed is not None:
            return record
        closed = replace(run, closed=reason, stopped_by_manifest=stopped_by_manifest)
        return replace(record, run=closed, ends=record.ends if reason == "failed" else ends)

    record = _narrow(place, copy, vm, number, close, key)
    for side in (place, copy):
        if side is not None:
            forget_runs(side, vm, number)
    return record


def _narrow(
    place: Path,
    copy: Path | None,
    vm: str,
    number: int,
    change: Callable[[VmRecord, Run], VmRecord],
    key: str | None,
) -> VmRecord:
    for attempt in range(_ATTEMPTS):
        record = _existing(_read_leniently(place, copy, vm), vm)
        if record.run is None or record.run.number != number:
            # After a first attempt the change may be part of what others have built upon it since.
            raise RunClaimError(
                f"run {number} of VM {vm} is not its last one: {describe_run(record.run)} is",
                "observe and plan anew",
                settled=attempt == 0,
            )
        changed = change(record, record.run)
        if changed == record:
            return record
        narrowed = replace(
            changed, revision=record.revision + 1, last_order=record.last_order if key is None else key
        )
        if _stored(place, copy, narrowed):
            return narrowed
    raise RecordConflictError(f"the record of VM {vm} is written by somebody else all the time", "try again")


def _read_both(place: Path, copy: Path | None, vm: str) -> VmRecord | None:
    """The higher revision of master and copy, with the higher run of both. Raises RecordError."""
    record = read_vm_record(place, vm)
    other = read_vm_record(copy, vm) if copy is not None else None
    if record is None or other is None:
        return record or other
    if other.revision > record.revision:
        record, other = other, record
    if other.run is not None and (record.run is None or other.run.number > record.run.number):
        return replace(record, run=other.run)
    return record


def _read_leniently(place: Path, copy: Path | None, vm: str) -> VmRecord | None:
    """As `_read_both`, but a copy that cannot be read counts for nothing."""
    try:
        return _read_both(place, copy, vm)
    except RecordError:
        return read_vm_record(place, vm)


def _existing(record: VmRecord | None, vm: str) -> VmRecord:
    if record is None:
        raise RunClaimError(f"VM {vm} has no record", "write its record first")
    return record


def _stored(place: Path, copy: Path | None, record: VmRecord) -> bool:
    """Whether `record` became the next revision; False if another writer was quicker. Raises RecordError."""
    try:
        commit_vm(place, record)
    except RecordConflictError:
        return False
    if copy is not None:
        try:
            mirror_vm(copy, record)
        except RecordError as error:
            # The copy knows the run from its claim, or names more hosts than are left: the next write mends it.
            _LOG.warning("%s", error)
    return True
