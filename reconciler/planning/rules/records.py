"""A VM's record as the steps of one plan write it, one after another: revisions that follow each other, nothing lost.

First comes what the manifest says, then what the plan has achieved. Called by the rules about VMs.
"""

from dataclasses import replace

from nodeagent.wire.records import DiskRecord, Run, RunHost, VmRecord
from reconciler.model.change import Change, Verb
from reconciler.model.intents import PAUSING, end_intents
from reconciler.model.observed import VmObservation
from reconciler.model.runs import found_run, is_unrecorded
from reconciler.planning.context import PlanContext

WRITES = (Verb.CREATE, Verb.ADOPT, Verb.UPDATE)


def describe_writing(before: VmRecord | DiskRecord | None, after: VmRecord | DiskRecord) -> tuple[str, ...]:
    """What a person should know of a record that is written: another name, a consent given or taken back."""
    if before is None:
        return ()
    renamed = f"it was {before.object}" if before.object != after.object else ""
    consent = ""
    if before.allow_destroy != after.allow_destroy:
        consent = "it may be destroyed" if after.allow_destroy else "it may no longer be destroyed"
    return tuple(part for part in (renamed, consent) if part)


def written_record(context: PlanContext, change: Change) -> VmRecord:
    """The record that a change writes before anything else happens to the VM: as the manifest wants it; of a guest that
    is adopted where it runs, with its open run."""
    record, seen = context.changes.records[change.object], context.seen(change.object)
    if is_found(context, change) and seen is not None:
        record = replace(record, run=_run_of(context, seen))
    elif seen is not None and is_unrecorded(seen):
        record = replace(record, run=found_run(context.observed, seen))
    return replace(record, revision=record.revision + 1)


def is_found(context: PlanContext, change: Change) -> bool:
    """Whether a running guest is adopted of which no record knows a run."""
    seen = context.seen(change.object)
    unknown = context.changes.records[change.object].run is None
    return change.verb is Verb.ADOPT and unknown and seen is not None and bool(seen.guests)


def _first(context: PlanContext, vm: str) -> VmRecord:
    """The record after the plan's first write, if it has one."""
    writing = next((one for one in context.of_verb(*WRITES) if one.object == vm), None)
    return written_record(context, writing) if writing else context.changes.records[vm]


def unplugged_disks(context: PlanContext, vm: str) -> tuple[str, ...]:
    """Disks of the record that the plan unplugs from the running guest: it names each until that is done."""
    gone = {
        field.before
        for change in context.of_verb(Verb.CHANGE_LIVE)
        if change.object == vm
        for field in change.fields
        if field.field == "vm.disks"
    }
    return tuple(name for name in context.changes.records[vm].disks if name in gone)


def without_unplugged(context: PlanContext, vm: str) -> VmRecord:
    """The record after its disks were unplugged; the first one, if none are."""
    record, gone = _first(context, vm), unplugged_disks(context, vm)
    disks = tuple(name for name in record.disks if name not in gone)
    return replace(record, disks=disks, revision=record.revision + bool(gone))


def without_pausing(context: PlanContext, vm: str) -> VmRecord:
    """The record after its guest was paused or resumed as somebody asked."""
    record = without_unplugged(context, vm)
    return replace(record, intents=end_intents(record, PAUSING), revision=record.revision + 1)


def _run_of(context: PlanContext, seen: VmObservation) -> Run | None:
    """The open run of a guest that is adopted where it runs."""
    hosts = []
    for one in seen.guests:
        state = context.host(one.host).state
        if state is not None:
            hosts.append(RunHost(state.host_uuid, state.boot_id))
    number = seen.guest.config.run if seen.guest and seen.guest.config else 0
    return Run(max(1, number), tuple(hosts)) if hosts else None
