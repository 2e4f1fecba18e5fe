"""One VM against its manifest: record, exit, power, host, fields. The order of the findings is the order to read them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.records import VmRecord
from reconciler.diffing.abilities import UndecidedError
from reconciler.diffing.context import DiffContext, Finding
from reconciler.diffing.doubts import find_doubt
from reconciler.diffing.guests import expected_guest
from reconciler.diffing.macs import objection_to_macs, objection_to_twin
from reconciler.diffing.power import describe_exit, last_exit, power_of
from reconciler.diffing.records import vm_record
from reconciler.diffing.recovery import find_delay, protect, recovers
from reconciler.diffing.running import diff_running, dropped, objection_to_files, objection_to_power
from reconciler.diffing.sizes import block_oversize
from reconciler.model.change import Blocked, Change, Deferred, Drift, Power, Reason, Verb
from reconciler.model.desired import VirtualMachine
from reconciler.model.intents import PAUSING, POWER, end_intents, is_as_asked, open_intent, pause_intent
from reconciler.model.observed import Presence, VmObservation
from reconciler.model.placement import Assignment
from reconciler.model.runs import is_unrecorded


@dataclass(frozen=True, slots=True)
class VmDiff:
    """Findings of one VM, with the guest and the record that its changes carry."""

    findings: tuple[Finding, ...] = ()
    guest: GuestConfig | None = None
    record: VmRecord | None = None


NOTHING = VmDiff()
"""What almost every VM of a pass comes to: its guest and record are not kept, as tens of thousands would be."""


def diff_vm(context: DiffContext, vm: VirtualMachine) -> VmDiff:
    """Everything to do to one VM. A VM that may run somewhere out of sight is blocked, with the hosts to ask."""
    seen = context.observed.vms.get(context.identities.vms[vm.meta.id])
    doubt = find_doubt(context, vm, seen)
    if doubt is not None:
        return VmDiff((doubt,))
    try:
        record = vm_record(
            context.desired,
            context.abilities,
            context.identities,
            vm,
            seen,
            context.observed.disks,
            context.macs,
            context.master,
        )
    except UndecidedError as error:
        advice = "bring a host of the cluster back, or name the value in the manifest"
        return VmDiff((Blocked(vm.meta.id, str(error), advice),))
    unchanged = seen is not None and record is seen.record
    taken = None if unchanged else objection_to_macs(context, vm, seen, record)
    if taken is not None:
        return VmDiff((taken,))
    record = _with_ended_intents(record, seen)
    run = record.run.number if record.run else 0
    running = seen is not None and seen.presence is Presence.RUNNING
    guest = expected_guest(
        context.desired,
        context.observed,
        context.identities,
        vm,
        record,
        run if running else run + 1,
        context.bridges,
    )
    power, why = power_of(vm, seen)
    delay = find_delay(context, vm, seen, why) if power is Power.RUN and not running else None
    if delay is not None:
        return VmDiff((*_exit(vm, seen)[:1], delay))
    if seen is not None and is_unrecorded(seen):
        return VmDiff(tuple(_found(vm, seen)), guest, record)
    findings = (*_record(context, vm, seen, record), *_power(context, vm, seen, guest, (power, why)))
    if not findings:
        return NOTHING
    restarts = power is Power.RUN and not running and recovers(vm, seen, why)
    return VmDiff(protect(findings) if restarts else findings, guest, record)


def _with_ended_intents(record: VmRecord, seen: VmObservation | None) -> VmRecord:
    """The record with intents marked as done that the running guest fulfils: it is paused, or goes on, as asked; or it
    runs although somebody asked to start it, who must not have it start again when it ends."""
    if seen is None or seen.guest is None or not record.intents:
        return record
    pausing, power = pause_intent(record), open_intent(record, POWER)
    if pausing is not None and is_as_asked(pausing, seen.guest):
        record = replace(record, intents=end_intents(record, PAUSING))
    if power is not None and power.action == "start":
        record = replace(record, intents=end_intents(record, POWER))
    return record


def _record(
    context: DiffContext, vm: VirtualMachine, seen: VmObservation | None, record: VmRecord
) -> Iterator[Finding]:
    """Writing the VM's record: new, adopted, or changed; and an exit that it does not hold yet."""
    old = seen.record if seen else None
    yield from _exit(vm, seen)
    if old is None:
        adopting = seen is not None and bool(seen.guests)
        yield Change(
            vm.meta.id,
            Verb.ADOPT if adopting else Verb.CREATE,
            (Reason("adopted" if adopting else "declared"),),
        )
    elif not old.managed:
        yield Change(vm.meta.id, Verb.ADOPT, (Reason("adopted"),))
    elif (old is not record and old != record) or vm.meta.id in context.asked:
        yield Change(vm.meta.id, Verb.UPDATE, tuple(_why_written(context, old, record)))


def _found(vm: VirtualMachine, seen: VmObservation) -> Iterator[Finding]:
    """A guest that nobody recorded: its run is written before anything else is done."""
    name, host = vm.meta.id, str(seen.host)
    yield Drift(name, f"it runs on {host}, and its record knows of no run", "somebody started it by hand")
    yield Change(name, Verb.UPDATE, (Reason("run-found", host),))
    yield Deferred(name, "all else waits for its record", "its run is written there")


def _exit(vm: VirtualMachine, seen: VmObservation | None) -> tuple[Finding, ...]:
    """An exit that the record does not hold yet: that it happened, and that it is to be recorded."""
    run = seen.record.run if seen is not None and seen.record is not None else None
    if seen is None or run is None or run.closed is not None or not seen.evidence:
        return ()
    reason = str(last_exit(run, seen))
    return (
        Drift(
            vm.meta.id,
            "it does not run although its last run is open",
            f"it ended: {describe_exit(run, seen)}",
        ),
        Change(vm.meta.id, Verb.RECORD_EXIT, (Reason("exit-not-recorded", reason),)),
    )


def _why_written(context: DiffContext, old: VmRecord, record: VmRecord) -> Iterator[Reason]:
    """Every reason to write a record that is there."""
    if record.object in context.asked and record.intents:
        yield Reason("asked", record.intents[-1].action)
    if old.intents != record.intents:
        yield Reason("intent-achieved", next(one.action for one in reversed(record.intents) if one.done))
    found = replace(
        old, intents=record.intents, pci=record.pci, disks=record.disks, copy_domain=record.copy_domain
    )
    if found != record:
        yield Reason("manifest-changed")
        return
    if old.pci != record.pci:
        yield Reason("address-found")
    if old.disks != record.disks:
        yield Reason("disk-let-go")
    if old.copy_domain != record.copy_domain:
        yield Reason("copy-follows-disk")


def _power(
    context: DiffContext,
    vm: VirtualMachine,
    seen: VmObservation | None,
    guest: GuestConfig,
    wanted: tuple[Power, Reason],
) -> Iterator[Finding]:
    """Starting, stopping, moving and changing the guest."""
    power, why = wanted
    if seen is None or seen.presence is not Presence.RUNNING:
        if power is Power.RUN:
            yield objection_to_twin(context, vm, guest) or _start(context, vm, seen, why)
    elif power is Power.STOP:
        yield objection_to_power(context, vm, seen) or Change(vm.meta.id, Verb.STOP, (why,), host=seen.host)
    else:
        yield from diff_running(context, vm, seen, guest)


def _start(context: DiffContext, vm: VirtualMachine, seen: VmObservation | None, why: Reason) -> Finding:
    """A start where placement found a host, else what kept it from finding one."""
    assignment = context.placement.assignments.get(vm.meta.id)
    if assignment is None or assignment.host is None:
        return block_oversize(context, vm) or Blocked(
            vm.meta.id,
            f"no host can run it: {dropped(assignment) if assignment else 'no host is up'}{_bound(vm, seen, assignment)}",
            f"`ostler explain {vm.meta.id}` shows each host and why it was dropped",
        )
    return objection_to_files(context, vm) or Change(
        vm.meta.id, Verb.START, (why, Reason("placed", assignment.host)), host=assignment.host
    )


def _bound(vm: VirtualMachine, seen: VmObservation | None, assignment: Assignment | None) -> str:
    """That a VM with a TPM starts only where it ran last, if that is part of the matter."""
    ran = seen is not None and seen.record is not None and seen.record.run is not None
    pinned = assignment is not None and any(name == "PinToHost" for name, _ in assignment.dropped)
    return "; its TPM's state lies on the host where it ran last" if vm.tpm and ran and pinned else ""
