"""One VM against its manifest: record, exit, power, host, fields. The order of the findings is the order to read them."""

from collections.abc import Iterator
from dataclasses import dataclass

from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.records import VmRecord
from reconciler.diffing.compare import compare_guest
from reconciler.diffing.context import DiffContext, Finding
from reconciler.diffing.guests import expected_guest
from reconciler.diffing.power import last_exit, power_of
from reconciler.diffing.records import UndecidedError, copy_domain, vm_record
from reconciler.model.change import Blocked, Change, Deferred, Drift, Effect, FieldChange, Power, Reason, Verb
from reconciler.model.desired import RestartPolicy, VirtualMachine
from reconciler.model.observed import Presence, VmObservation
from reconciler.model.placement import Assignment
from reconciler.model.placement import Outcome as Placed


@dataclass(frozen=True, slots=True)
class VmDiff:
    """Findings of one VM, with the guest and the record that its changes carry."""

    findings: tuple[Finding, ...] = ()
    guest: GuestConfig | None = None
    record: VmRecord | None = None


def diff_vm(context: DiffContext, vm: VirtualMachine) -> VmDiff:
    """Everything to do to one VM. A VM that may run somewhere out of sight is blocked, with the hosts to ask."""
    seen = context.observed.vms.get(context.identities.vms[vm.meta.id])
    doubt = _doubt(context, vm, seen) or _unreachable(context, vm)
    if doubt is not None:
        return VmDiff((doubt,))
    consent = vm.meta.allow_destroy
    if consent is not None and consent != context.identities.vms[vm.meta.id]:
        uuid = context.identities.vms[vm.meta.id]
        return VmDiff((Blocked(vm.meta.id, f"its consent names {consent}, which is not this VM ({uuid})",
                               f'write ostler.dev/allow-destroy: "{uuid}", or take the annotation away'),))  # fmt: skip
    try:
        record = vm_record(
            context.desired, context.observed, context.identities, vm, seen, context.macs, context.master
        )
    except UndecidedError as error:
        return VmDiff(
            (
                Blocked(
                    vm.meta.id,
                    str(error),
                    "bring a host of the cluster back, or name the value in the manifest",
                ),
            )
        )
    run = record.run.number if record.run else 0
    running = seen is not None and seen.presence is Presence.RUNNING
    guest = expected_guest(
        context.desired, context.observed, context.identities, vm, record, run if running else run + 1
    )
    findings = (*_record(vm, seen, record), *_power(context, vm, seen, guest))
    return VmDiff(findings, guest, record)


def _doubt(context: DiffContext, vm: VirtualMachine, seen: VmObservation | None) -> Blocked | None:
    """Why nothing may be planned for this VM, if so."""
    if seen is not None and seen.presence is Presence.UNKNOWN:
        hosts = ", ".join(seen.doubts) or "a host"
        return Blocked(
            vm.meta.id,
            f"it may be running on {hosts}, which cannot be asked",
            "bring the host back, fence it, or confirm that it is off: `ostler host confirm-off HOST`",
        )
    if seen is not None and seen.record_state in ("unreadable", "unknown"):
        return Blocked(
            vm.meta.id,
            f"its record on storage is {'damaged' if seen.record_state == 'unreadable' else 'out of reach'}; "
            "nothing is planned for it, and it goes on as it is",
            "bring the storage back, or restore master/vms/<uuid>/ostler.json from its copy or a backup",
        )
    if seen is None and context.observed.newcomer_evidence is None:
        doubts = ", ".join(context.observed.newcomer_doubts) or "its data center's storage could not be read"
        return Blocked(
            vm.meta.id,
            f"it is not known whether it ever ran: {doubts}",
            "bring the hosts and their storage back, or confirm that they are off: `ostler host confirm-off HOST`",
        )
    return None


def _unreachable(context: DiffContext, vm: VirtualMachine) -> Blocked | None:
    """Why nothing can be done: there is nowhere to keep its record, or nobody who could write it."""
    domains = {one.uuid: one for one in context.desired.storage_domains.values()}
    places = [
        domains.get(uuid or "") for uuid in (context.master, copy_domain(context.desired, context.master, vm))
    ]
    local = {one.host for one in places if one is not None and one.host is not None}
    if context.master is None:
        return Blocked(vm.meta.id, "there is no storage domain for its record", "declare a StorageDomain")
    if not context.workers or len(local) > 1 or any(one not in context.workers for one in local):
        return Blocked(
            vm.meta.id,
            "no host that could write its record answers",
            f"bring {' and '.join(sorted(local)) or 'one of the hosts'} back",
        )
    return None


def _record(vm: VirtualMachine, seen: VmObservation | None, record: VmRecord) -> Iterator[Finding]:
    """Writing the VM's record: new, adopted, or changed; and an exit that it does not hold yet."""
    old = seen.record if seen else None
    if (
        seen is not None
        and old is not None
        and old.run is not None
        and old.run.closed is None
        and seen.evidence
    ):
        reason = last_exit(old.run, seen)
        yield Drift(vm.meta.id, "it does not run although its last run is open", f"it ended: {reason}")
        yield Change(vm.meta.id, Verb.RECORD_EXIT, (Reason("exit-not-recorded", str(reason)),))
    if old is None:
        adopting = seen is not None and bool(seen.guests)
        yield Change(
            vm.meta.id,
            Verb.ADOPT if adopting else Verb.CREATE,
            (Reason("adopted" if adopting else "declared"),),
        )
    elif old != record:
        adopted = not old.managed
        yield Change(
            vm.meta.id,
            Verb.ADOPT if adopted else Verb.UPDATE,
            (Reason("adopted" if adopted else "manifest-changed"),),
        )


def _power(
    context: DiffContext, vm: VirtualMachine, seen: VmObservation | None, guest: GuestConfig
) -> Iterator[Finding]:
    """Starting, stopping, moving and changing the guest."""
    power, why = power_of(vm, seen)
    assignment = context.placement.assignments.get(vm.meta.id)
    if seen is None or seen.presence is not Presence.RUNNING:
        if power is Power.RUN:
            yield from _start(vm, seen, assignment, why)
        return
    if power is Power.STOP:
        yield Change(vm.meta.id, Verb.STOP, (why,), host=seen.host)
        return
    yield from _split(vm, seen)
    yield from _fields(context, vm, seen, guest)
    if assignment is not None and assignment.outcome is Placed.MOVES:
        yield Change(
            vm.meta.id, Verb.MIGRATE, (Reason(assignment.because),), host=seen.host, subject=assignment.host
        )
    elif assignment is not None and assignment.outcome is Placed.UNPLACED:
        yield Blocked(
            vm.meta.id,
            f"it must leave {seen.host} ({assignment.because}) and fits nowhere else: {_dropped(assignment)}",
            f"make room on another host, or shut it down; `ostler explain {vm.meta.id}` shows each host",
        )


def _start(
    vm: VirtualMachine, seen: VmObservation | None, assignment: Assignment | None, why: Reason
) -> Iterator[Finding]:
    """A start where placement found a host, else what kept it from finding one."""
    if assignment is None or assignment.host is None:
        yield Blocked(
            vm.meta.id,
            f"no host can run it: {_dropped(assignment)}" if assignment else "no host can run it",
            f"`ostler explain {vm.meta.id}` shows each host and why it was dropped",
        )
        return
    if vm.tpm and seen is not None and seen.record is not None and seen.record.run is not None:
        yield Deferred(vm.meta.id, "its TPM's state lies on the host where it ran last", "started there only")
    yield Change(vm.meta.id, Verb.START, (why, Reason("placed", assignment.host)), host=assignment.host)


def _dropped(assignment: Assignment) -> str:
    """`Memory dropped 2 hosts, PinToHost dropped 1 host`."""
    return (
        ", ".join(f"{name} dropped {n} host{'s' if n != 1 else ''}" for name, n in assignment.dropped)
        or "no host is up"
    )


def _split(vm: VirtualMachine, seen: VmObservation) -> Iterator[Finding]:
    """A VM that more than one host runs: the worst that can be; only a person may choose."""
    hosts = [one.host for one in seen.guests if one.facts.state != "incoming"]
    if len(hosts) > 1:
        yield Blocked(
            vm.meta.id,
            f"it runs on {' and '.join(hosts)} at once",
            "stop the wrong one with virsh destroy on its host, then check its disks",
        )


def _fields(
    context: DiffContext, vm: VirtualMachine, seen: VmObservation, guest: GuestConfig
) -> Iterator[Finding]:
    """Declared fields that the running guest has not: changed live, pending until its next start, or a restart."""
    if seen.guest is None or seen.guest.config is None:
        return
    have = seen.guest.config
    differing = [one for one in compare_guest(guest, have) if not _is_foreign_disk(context, one, have)]
    cluster = _cluster_change(context, vm, seen)
    if cluster is not None:
        yield cluster
    live = tuple(one for one in differing if one.effect is Effect.LIVE)
    pending = tuple(one for one in differing if one.effect is Effect.NEXT_START)
    if pending and vm.restart_policy is RestartPolicy.WHEN_NEEDED:
        yield Change(
            vm.meta.id,
            Verb.RESTART,
            (Reason("restart-when-needed", "spec.restartPolicy"),),
            host=seen.host,
            fields=(*live, *pending),
        )
        return
    if live:
        yield from _drifted(vm, seen, live)
        yield Change(vm.meta.id, Verb.CHANGE_LIVE, (Reason("fields-differ"),), host=seen.host, fields=live)
    if pending:
        yield Deferred(
            vm.meta.id,
            "the running guest is not as declared",
            "its next start (restartPolicy: WhenNeeded lets a plan restart it)",
            pending,
        )


def _is_foreign_disk(context: DiffContext, change: FieldChange, have: GuestConfig) -> bool:
    """Whether the change would unplug a disk that is not Ostler's, as an adopted guest may have: it is left alone."""
    if change.field != "vm.disks" or change.before is None:
        return False
    image = next((disk.image for disk in have.disks if disk.name == change.before), None)
    return image not in context.observed.disks


def _drifted(vm: VirtualMachine, seen: VmObservation, live: tuple[FieldChange, ...]) -> Iterator[Drift]:
    """Live fields that differ although the manifest is the one that was applied last."""
    if seen.record is not None and seen.record.manifest_digest == vm.meta.digest:
        what = ", ".join(
            f"{one.field} is {one.show(one.before)}, declared {one.show(one.after)}" for one in live
        )
        yield Drift(
            vm.meta.id,
            what,
            "the manifest did not change: somebody changed the guest, or an earlier change failed",
        )


def _cluster_change(context: DiffContext, vm: VirtualMachine, seen: VmObservation) -> Blocked | None:
    """A running VM whose manifest names another cluster than that of its host."""
    host = context.desired.hosts.get(seen.host or "")
    if host is None or host.cluster == vm.cluster:
        return None
    field = FieldChange("vm.cluster", host.cluster, vm.cluster, Effect.REFUSE)
    return Blocked(
        vm.meta.id, "a running VM stays in its cluster", "stop it, change the cluster, start it", (field,)
    )
