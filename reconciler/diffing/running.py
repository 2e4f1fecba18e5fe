"""A running guest against its manifest: what changes live, what waits for its next start, what restarts or moves it."""

from collections.abc import Iterator

from nodeagent.wire.guest import GuestConfig
from reconciler.diffing.compare import compare_guest, same_guest
from reconciler.diffing.context import DiffContext, Finding
from reconciler.diffing.doubts import describe_doubt
from reconciler.diffing.reach import block_beyond_reach, find_beyond_reach, key_of
from reconciler.diffing.secrets import changed_password
from reconciler.diffing.standstill import diff_standstill, find_unasked_pause
from reconciler.model.change import Blocked, Change, Deferred, Drift, Effect, FieldChange, Reason, Verb
from reconciler.model.desired import RestartPolicy, VirtualMachine
from reconciler.model.intents import move_intent, power_intent
from reconciler.model.observed import VmObservation
from reconciler.model.placement import ASKED, Assignment, Outcome

ISO_DIRECTORY = "images/11111111-1111-1111-1111-111111111111"
"""Where CD images lie in a storage domain, as in oVirt."""


def diff_running(
    context: DiffContext, vm: VirtualMachine, seen: VmObservation, guest: GuestConfig
) -> Iterator[Finding]:
    """Findings of a VM that runs and is to go on running."""
    assignment = context.placement.assignments.get(vm.meta.id)
    password = changed_password(guest, seen.guest, context.secret_digests) if seen.guest is not None else None
    if password is None and _is_as_declared(context, vm, seen, guest, assignment):
        return
    yield from find_unasked_pause(vm, seen)
    leaves = assignment is not None and assignment.outcome is not Outcome.STAYS
    differing = _differing(context, vm, seen, guest)
    yield from _cluster_change(context, vm, seen)
    live = tuple(one for one in differing if one.effect is Effect.LIVE)
    pending = tuple(one for one in differing if one.effect is Effect.NEXT_START)
    why = _reason_to_restart(vm, seen, pending)
    restarts = why is not None
    beyond = find_beyond_reach(context, seen.host, guest, (*live, *(pending if restarts else ())))
    if beyond:
        yield block_beyond_reach(vm.meta.id, seen.host, beyond)
        live, restarts = tuple(one for one in live if key_of(one) not in beyond), False
    changed = any(one.field == "vm.cdrom.file" for one in live)
    absent = objection_to_cd(context, vm) if changed or restarts else None
    live = live if absent is None else tuple(one for one in live if one.field != "vm.cdrom.file")
    if assignment is not None and not leaves and assignment.dropped:
        grows = tuple(one for one in live if _grows(one))
        yield from _no_room(assignment, (*grows, *(pending if restarts else ())))
        live, restarts = tuple(one for one in live if one not in grows), False
    moves = assignment is not None and assignment.outcome is Outcome.MOVES
    obstacle = None
    if restarts or leaves:
        obstacle = objection_to_power(context, vm, seen) or objection_to_disks(context, vm)
    yield from (one for one in (absent,) if one is not None)
    restarts = restarts and absent is None
    if obstacle is not None:
        yield obstacle
        restarts = moves = False
    if restarts and why is not None and (moves or not leaves):
        where = assignment.host if assignment is not None and moves else seen.host
        yield Change(vm.meta.id, Verb.RESTART, (why,), host=where, fields=(*live, *pending))
    else:
        yield from _without_restart(vm, seen, live, pending, assignment if moves else None)
        if password is not None:
            because = (Reason("secret-changed", password.after),)
            yield Change(vm.meta.id, Verb.CHANGE_LIVE, because, host=seen.host, fields=(password,))
    if assignment is not None and moves:
        reason = _reason_to_move(context, vm, seen, assignment)
        yield Change(vm.meta.id, Verb.MIGRATE, (reason,), host=seen.host, subject=assignment.host)
    elif assignment is not None and leaves and obstacle is None:
        yield _stuck(vm, seen, assignment)


def _without_restart(
    vm: VirtualMachine,
    seen: VmObservation,
    live: tuple[FieldChange, ...],
    pending: tuple[FieldChange, ...],
    moving: Assignment | None,
) -> Iterator[Finding]:
    """What changes in the guest as it runs. moving: where it goes, if it does; it grows only there."""
    yield from diff_standstill(vm, seen)
    later = tuple(one for one in live if moving is not None and _grows(one))
    yield from _in_place(vm, seen, tuple(one for one in live if one not in later), pending)
    if later and moving is not None:
        reasons = (Reason("fields-differ"), Reason("grows-where-there-is-room", moving.host or ""))
        yield Change(vm.meta.id, Verb.CHANGE_LIVE, reasons, host=moving.host, fields=later)


def _is_as_declared(
    context: DiffContext,
    vm: VirtualMachine,
    seen: VmObservation,
    guest: GuestConfig,
    assignment: Assignment | None,
) -> bool:
    """Whether there is nothing to find; the quick answer for almost every VM of a pass."""
    stays = assignment is not None and assignment.outcome is Outcome.STAYS and not assignment.dropped
    if not stays or (seen.record is not None and seen.record.intents):
        return False
    host, facts = context.desired.hosts.get(seen.host or ""), seen.guest
    if (
        facts is None
        or facts.config is None
        or facts.state == "paused"
        or (host is not None and host.cluster != vm.cluster)
    ):
        return False
    return same_guest(guest, facts.config)


def _reason_to_restart(
    vm: VirtualMachine, seen: VmObservation, pending: tuple[FieldChange, ...]
) -> Reason | None:
    """A person's intent, or changes that its manifest lets restart it."""
    intent = power_intent(vm, seen.record)
    if intent is not None and intent.action == "reboot":
        return Reason("intent", intent.id)
    if pending and vm.restart_policy is RestartPolicy.WHEN_NEEDED:
        return Reason("restart-when-needed", "spec.restartPolicy")
    return None


def _reason_to_move(
    context: DiffContext, vm: VirtualMachine, seen: VmObservation, assignment: Assignment
) -> Reason:
    """The rule by which placement moves it; of a person's intent with its id."""
    intent = move_intent(context.desired, vm, seen.record, seen.host)
    return Reason(assignment.because, intent.id if intent and assignment.because == ASKED else "")


def objection_to_power(context: DiffContext, vm: VirtualMachine, seen: VmObservation) -> Blocked | None:
    """Why a running VM may not be stopped, restarted or moved: another host may run it as well."""
    if seen.doubts:
        doubts = ", ".join(describe_doubt(context, one, seen) for one in seen.doubts)
        commands = ", ".join(
            f"`ostler host confirm-off {one}`" for one in seen.doubts if one.startswith("host/")
        )
        return Blocked(
            vm.meta.id,
            f"it runs on {seen.host} and may run elsewhere as well, so it is neither stopped nor moved: {doubts}",
            f"bring {' and '.join(seen.doubts)} back{f', or confirm that it is off: {commands}' if commands else ''}",
        )
    return None


def objection_to_files(context: DiffContext, vm: VirtualMachine) -> Blocked | None:
    """Why a VM cannot be started: a disk or CD that it needs cannot be used now."""
    return objection_to_disks(context, vm) or objection_to_cd(context, vm)


def objection_to_disks(context: DiffContext, vm: VirtualMachine) -> Blocked | None:
    """Why a VM cannot be started, restarted or moved: a disk that it attaches cannot be used now."""
    lacking = [one.disk for one in vm.disks if one.disk in context.unusable]
    if not lacking:
        return None
    return Blocked(
        vm.meta.id,
        f"it can be neither started nor moved without {' and '.join(lacking)}",
        f"see what the plan says of {' and '.join(lacking)}",
    )


def objection_to_cd(context: DiffContext, vm: VirtualMachine) -> Blocked | None:
    """Why a VM cannot be given its CD: the image is not in its storage domain, as far as hosts tell."""
    if vm.cdrom is None or vm.cdrom.storage_domain is None or vm.cdrom.file is None:
        return None
    domain = context.desired.storage_domains[vm.cdrom.storage_domain]
    seen = context.observed.storage.get(domain.uuid)
    isos = seen.contents.isos if seen is not None and seen.contents is not None else None
    if isos is None or vm.cdrom.file in isos:
        return None
    return Blocked(
        vm.meta.id,
        f"its CD {vm.cdrom.file} is not in {domain.meta.id}",
        f"copy it into {domain.uuid}/{ISO_DIRECTORY} below {domain.path}, or correct spec.cdrom.file",
    )


def _differing(
    context: DiffContext, vm: VirtualMachine, seen: VmObservation, guest: GuestConfig
) -> tuple[FieldChange, ...]:
    """Fields that differ and may be changed. Disks are left alone that are not Ostler's, as an adopted guest may have
    them; and all of them while one of the VM's disks cannot be told."""
    if seen.guest is None or seen.guest.config is None:
        return ()
    have = seen.guest.config
    unsure = any(one.disk in context.unusable for one in vm.disks)
    return tuple(
        one
        for one in compare_guest(guest, have)
        if not (one.field == "vm.disks" and (unsure or _is_foreign_disk(context, one, have)))
    )


def _is_foreign_disk(context: DiffContext, change: FieldChange, have: GuestConfig) -> bool:
    """Whether the change would unplug a disk that is not Ostler's."""
    if change.before is None:
        return False
    image = next((disk.image for disk in have.disks if disk.name == change.before), None)
    return image not in context.observed.disks


def _grows(change: FieldChange) -> bool:
    """Whether the change makes the guest take more memory from its host."""
    return change.field == "vm.memory" and bool(change.after > change.before)


def _no_room(assignment: Assignment, grows: tuple[FieldChange, ...]) -> Iterator[Blocked]:
    """A VM that may stay where it is, and may not grow there."""
    if grows:
        yield Blocked(
            assignment.vm,
            f"{assignment.host} has no room for it to grow",
            "make room on the host, or pin the VM to one that has it (spec.placement.hosts)",
            grows,
        )


def _in_place(
    vm: VirtualMachine, seen: VmObservation, live: tuple[FieldChange, ...], pending: tuple[FieldChange, ...]
) -> Iterator[Finding]:
    """Changes of the running guest, and what waits for its next start."""
    if live:
        yield from _drifted(vm, seen, live)
        yield Change(vm.meta.id, Verb.CHANGE_LIVE, (Reason("fields-differ"),), host=seen.host, fields=live)
    if pending:
        hint = (
            ""
            if vm.restart_policy is RestartPolicy.WHEN_NEEDED
            else " (restartPolicy: WhenNeeded lets a plan restart it)"
        )
        yield Deferred(vm.meta.id, "the running guest is not as declared", f"its next start{hint}", pending)


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


def _cluster_change(context: DiffContext, vm: VirtualMachine, seen: VmObservation) -> Iterator[Blocked]:
    """A running VM whose manifest names another cluster than that of its host."""
    host = context.desired.hosts.get(seen.host or "")
    if host is None or host.cluster == vm.cluster:
        return
    field = FieldChange("vm.cluster", host.cluster, vm.cluster, Effect.REFUSE)
    yield Blocked(
        vm.meta.id, "a running VM stays in its cluster", "stop it, change the cluster, start it", (field,)
    )


def _stuck(vm: VirtualMachine, seen: VmObservation, assignment: Assignment) -> Blocked:
    """A VM that must leave its host and cannot."""
    asked = assignment.because == ASKED
    must = (
        f"it was asked to leave {seen.host}" if asked else f"it must leave {seen.host} ({assignment.because})"
    )
    if assignment.dropped and assignment.dropped[0][0] == "Migration not allowed":
        return Blocked(
            vm.meta.id,
            f"{must} and may not be migrated (spec.placement.migration: Pinned)",
            "shut it down, or allow its migration",
        )
    return Blocked(
        vm.meta.id,
        f"{must} and fits nowhere else: {dropped(assignment)}",
        f"make room on another host, or shut it down; `ostler explain {vm.meta.id}` shows each host",
    )


def dropped(assignment: Assignment) -> str:
    """`Memory dropped 2 hosts, PinToHost dropped 1 host`."""
    return (
        ", ".join(f"{name} dropped {n} host{'s' if n != 1 else ''}" for name, n in assignment.dropped)
        or "no host is up"
    )
