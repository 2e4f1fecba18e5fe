"""A VM's life: record, exit, start, stop, restart, migration, removal."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from nodeagent.wire.arguments import MigrateVm, RebootVm, RecordExit, RemoveVm, StartVm, StopVm, WriteVmRecord
from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.orders import Evidence, Expectation
from nodeagent.wire.records import ExitReason, VmRecord
from reconciler.model.change import Change, Disruption, Verb
from reconciler.model.desired import MigrationLimits, VirtualMachine
from reconciler.model.endings import count_ends
from reconciler.model.observed import HostObservation, VmObservation
from reconciler.model.plan import Estimate, Step
from reconciler.model.quantities import format_bytes
from reconciler.planning.context import PlanContext, leases_of
from reconciler.planning.rules.pausing import plan_pause
from reconciler.planning.rules.records import describe_writing, is_found, written_record
from reconciler.planning.steps import make_step

START_TIMEOUT_MS = 180_000
STOP_GRACE_MS = 30_000
REMOVED_SHUTDOWN_MS = 120_000
UNHURRIED_SHUTDOWN_MS = 600_000
"""How long one plan waits for a guest that is given all the time it needs; the next plan asks again."""


WRITTEN = {
    "asked": "asked to {}",
    "intent-achieved": "it was asked to {}, and that is done",
    "manifest-changed": "the manifest changed",
    "address-found": "the addresses of its cards",
    "disk-let-go": "no guest has the disk any more",
    "run-found": "it runs on {}, where it was started by hand",
    "copy-follows-disk": "its copy lies where its first disk does",
}
"""What stands in a record that is there already, by the rule that has it written."""


def plan_vms(context: PlanContext) -> Iterator[Step]:
    """Steps of every VM that changes; live changes of fields are in `live`."""
    makers: dict[Verb, Callable[[PlanContext, Change], Step]] = {
        Verb.CREATE: _write_record,
        Verb.ADOPT: _write_record,
        Verb.UPDATE: _write_record,
        Verb.RECORD_EXIT: _record_exit,
        Verb.START: _start,
        Verb.STOP: _stop,
        Verb.RESTART: _restart,
        Verb.MIGRATE: _migrate,
        Verb.REMOVE: _remove,
    }
    for change in context.changes.changes:
        if change.object.startswith("vm/") and change.verb in makers:
            yield makers[change.verb](context, change)
        elif change.verb in (Verb.PAUSE, Verb.RESUME):
            yield from plan_pause(context, change)


def _write_record(context: PlanContext, change: Change) -> Step:
    """A new record, an adopted guest's, or the one there is with what the manifest changed."""
    record, found = written_record(context, change), is_found(context, change)
    verb = {Verb.CREATE: "create", Verb.ADOPT: "adopt"}.get(change.verb, "update-record")
    preferred = context.placement.assignments.get(change.object)
    return make_step(
        change,
        WriteVmRecord(context.master, record),
        verb=verb,
        host=context.worker_for(
            context.master, preferred.host if preferred else None, also=record.copy_domain
        ),
        summary=_record_summary(context, change, record, found=found),
    )


def _record_summary(context: PlanContext, change: Change, record: VmRecord, *, found: bool) -> str:
    """What the record will say, in a line."""
    if change.verb is Verb.CREATE:
        macs = f", MAC {' '.join(record.macs.values())}" if record.macs else ""
        return f"new VM {record.uuid}: {record.machine}, CPU {record.cpu_model}{macs}"
    if change.verb is Verb.ADOPT:
        return f"take over the running guest {record.uuid} as it is" if found else "manage it again"
    seen = context.seen(change.object)
    told = describe_writing(seen.record if seen else None, record)
    reasons = (WRITTEN[one.rule].format(one.ref) for one in change.because)
    return f"write its record: {', '.join((*told, *reasons))}"


def _record_exit(context: PlanContext, change: Change) -> Step:
    """Closing the open run of a VM that is proven not to run."""
    seen = _known(context, change)
    assert seen.record is not None
    assert seen.record.run is not None
    reason = _exit_reason(change, seen)
    return make_step(
        change,
        RecordExit(
            context.master, seen.uuid, seen.record.run.number, reason, ends=count_ends(seen.record, seen.exit)
        ),
        verb="record-exit",
        host=context.worker_for(context.master, _home(context, change.object), also=seen.record.copy_domain),
        summary=f"record that run {seen.record.run.number} ended: {reason}",
        expects=(Expectation(f"guest/{seen.uuid}", "present", value=False),),
        evidence=seen.evidence,
        leases=_leases(context, seen.evidence),
    )


def _exit_reason(change: Change, seen: VmObservation) -> ExitReason:
    """The reason that diffing found; with consent to remove, what the agent kept."""
    if change.because[0].rule == "exit-not-recorded":
        reason: ExitReason = change.because[0].ref  # type: ignore[assignment]  # diffing.power.last_exit
        return reason
    return seen.exit.reason if seen.exit else "unknown"


def _start(context: PlanContext, change: Change) -> Step:
    """Starting a guest where placement says, with the evidence that nobody else runs it."""
    config = context.changes.guests[change.object]
    seen = context.seen(change.object)
    evidence = seen.evidence if seen and seen.evidence else context.observed.newcomer_evidence
    run = seen.record.run.number if seen and seen.record and seen.record.run else 0
    config = replace(config, run=run + 1)
    return make_step(
        change,
        StartVm(context.master, config),
        verb="start",
        host=str(change.host),
        summary=f"start with {_shape(config)}",
        expects=(Expectation(f"guest/{config.uuid}", "present", value=False),),
        evidence=evidence,
        leases=_leases(context, evidence),
        estimate=Estimate(seconds=2),
        timeout_ms=START_TIMEOUT_MS,
        secrets=(config.vnc.password,) if config.vnc and config.vnc.password else (),
    )


def _shape(config: GuestConfig) -> str:
    """`2 vCPU, 512Mi, 1 disk, 1 nic`."""
    disks, nics = len(config.disks), len(config.nics)
    parts = [f"{config.cpu.vcpus} vCPU", format_bytes(config.memory.current_bytes)]
    parts += [f"{disks} disk{'s' if disks != 1 else ''}"] if disks else []
    parts += [f"{nics} nic{'s' if nics != 1 else ''}"] if nics else []
    return ", ".join(parts)


def _stop(context: PlanContext, change: Change) -> Step:
    """Shutting a guest down, and pulling its plug if it does not within its time."""
    seen = _known(context, change)
    vm = context.desired.vms.get(change.object)
    patience = vm.shutdown_ms if vm else REMOVED_SHUTDOWN_MS
    by_manifest = change.because[0].rule == "run-policy"
    limit = f"at most {patience // 1000} s" if patience else "however long it takes"
    pull = patience > 0
    patience = patience or UNHURRIED_SHUTDOWN_MS
    run = _run_number(seen)
    return make_step(
        change,
        StopVm(
            context.master,
            seen.uuid,
            run,
            "shutdown",
            patience,
            "stopped",
            by_manifest,
            pull,
            _left(context, vm),
        ),
        verb="stop",
        host=str(change.host),
        summary=f"shut down, {limit}",
        expects=_running(seen),
        disruption=Disruption.POWER_OFF,
        estimate=Estimate(seconds=10),
        timeout_ms=patience + STOP_GRACE_MS,
    )


def _left(context: PlanContext, vm: VirtualMachine | None) -> tuple[str, ...] | None:
    """The disks that a stopped VM's record still names, if it named more for as long as the guest had them."""
    declared = tuple(one.disk for one in vm.disks) if vm else ()
    return declared if vm and context.changes.records[vm.meta.id].disks != declared else None


def _restart(context: PlanContext, change: Change) -> Step:
    """Stopping and starting in one order, because a manifest asked for it."""
    seen = _known(context, change)
    vm = context.desired.vms[change.object]
    run = _run_number(seen) + (0 if change.host == seen.host else 1)
    config = replace(context.changes.guests[change.object], run=run + 1)
    patience = vm.shutdown_ms or UNHURRIED_SHUTDOWN_MS
    fields = ", ".join(one.field.removeprefix("vm.") for one in change.fields)
    asked = "as asked" if change.because[0].rule == "intent" else ""
    summary = f"restart{f', {asked}' if asked else ''}{f', for {fields}' if asked and fields else ''}"
    return make_step(
        change,
        RebootVm(context.master, config, patience, then_destroy=vm.shutdown_ms > 0),
        verb="restart",
        host=str(change.host),
        summary=summary if asked else f"restart for {fields}",
        expects=_running(seen),
        disruption=Disruption.RESTART,
        evidence=Evidence("here", run),
        estimate=Estimate(seconds=15, downtime_ms=15_000),
        timeout_ms=patience + STOP_GRACE_MS + START_TIMEOUT_MS,
        secrets=(config.vnc.password,) if config.vnc and config.vnc.password else (),
    )


def _migrate(context: PlanContext, change: Change) -> Step:
    """Live migration under its cluster's limits. Time: memory over bandwidth; limit: seconds per GiB (RHV 4.1: 64)."""
    seen = _known(context, change)
    vm = context.desired.vms[change.object]
    limits = context.cluster_of(vm).migration
    destination = context.desired.hosts[str(change.subject)]
    state = context.host(destination.meta.id).state
    assert state is not None
    memory = _memory(seen, vm.memory_bytes)
    seconds = 1 + memory // (limits.bandwidth_mib_per_s << 20)
    halts = _halts(context.host(str(change.host)))
    return make_step(
        change,
        MigrateVm(
            master=context.master,
            vm=seen.uuid,
            run=_run_number(seen) + 1,
            destination=destination.uuid,
            destination_boot_id=state.boot_id,
            destination_address=destination.address,
            bandwidth_mib_per_s=limits.bandwidth_mib_per_s,
            downtime_ms=limits.downtime_ms,
            timeout_ms=_migration_limit_ms(memory, limits),
            stall_ms=limits.stall_ms,
        ),
        verb="migrate",
        host=str(change.host),
        summary=f"migrate {change.host} → {destination.meta.id}, {format_bytes(memory)} at {limits.bandwidth_mib_per_s} MiB/s"
        + (", halted meanwhile: it is emulated" if halts else ""),
        expects=_running(seen),
        disruption=Disruption.LIVE_MIGRATE,
        evidence=Evidence("here", _run_number(seen)),
        leases=(destination.meta.id,),
        estimate=Estimate(
            seconds=seconds,
            bytes=memory,
            downtime_ms=seconds * 1000 if halts else limits.downtime_ms,
        ),
        timeout_ms=_migration_limit_ms(memory, limits) + STOP_GRACE_MS,
    )


def _halts(source: HostObservation) -> bool:
    """Whether guests stand still while they leave this host."""
    return source.state is not None and source.state.capabilities.halts_to_migrate


def _migration_limit_ms(memory: int, limits: MigrationLimits) -> int:
    """How long a migration may take: seconds per GiB of memory, at least for one GiB."""
    return max(1, -(-memory // 2**30)) * limits.seconds_per_gib * 1000


def _memory(seen: VmObservation, declared: int) -> int:
    """Bytes of memory that a migration has to carry."""
    config = seen.guest.config if seen.guest else None
    return config.memory.current_bytes if config else declared


def _remove(context: PlanContext, change: Change) -> Step:
    """Turning the record into a tombstone. Its disks have lives and consents of their own.

    Where it ran last lies its TPM's state, which goes with it.
    """
    uuid = context.observed.vm_of[change.object]
    return make_step(
        change,
        RemoveVm(context.master, uuid),
        verb="remove",
        host=context.worker_for(context.master, _last_host(context, uuid), also=_copy_domain(context, uuid)),
        summary=f"remove the VM {uuid}, with consent; its disks stay",
        disruption=Disruption.DATA_LOSS,
        expects=(Expectation(f"guest/{uuid}", "present", value=False),),
    )


def _last_host(context: PlanContext, uuid: str) -> str | None:
    """The declared host on which a VM ran last."""
    record = context.observed.vms[uuid].record
    ran = record.run.hosts[-1].uuid if record and record.run and record.run.hosts else None
    return next((name for name, host in context.desired.hosts.items() if host.uuid == ran), None)


def _copy_domain(context: PlanContext, uuid: str) -> str | None:
    """Where the second copy of a VM's record lies."""
    record = context.observed.vms[uuid].record
    return record.copy_domain if record else None


def _known(context: PlanContext, change: Change) -> VmObservation:
    """The observation of a VM that is declared, or of one whose manifest is gone."""
    seen = context.seen(change.object)
    return seen or context.observed.vms[context.observed.vm_of[change.object]]


def _run_number(seen: VmObservation) -> int:
    """The number of the record's last run, 0 before the first."""
    return seen.record.run.number if seen.record and seen.record.run else 0


def _running(seen: VmObservation) -> tuple[Expectation, ...]:
    """That the guest is still there."""
    return (Expectation(f"guest/{seen.uuid}", "present", value=True),)


def _home(context: PlanContext, vm: str) -> str | None:
    """The host on which placement wants the VM."""
    assignment = context.placement.assignments.get(vm)
    return assignment.host if assignment else None


def _leases(context: PlanContext, evidence: Evidence | None) -> tuple[str, ...]:
    """Ids of the hosts whose answers are the evidence: their leases are held while the VM starts."""
    if evidence is context.observed.newcomer_evidence:
        return context.newcomer_leases
    return leases_of(context.desired, evidence)
