"""Changes that must wait for other objects: those that an open order has locked, or whose last result does not show yet,
and those of hosts, bridges and disks that guests would have to leave first. They become deferred, naming what they
wait for. Called by `diff`."""

from collections.abc import Iterable, Iterator, Sequence

from reconciler.diffing.context import DiffContext, Finding
from reconciler.model.change import Blocked, Change, Deferred, Verb
from reconciler.model.observed import HostObservation

LEAVES = frozenset({Verb.STOP, Verb.MIGRATE})
UNPLUGS = frozenset({Verb.STOP, Verb.MIGRATE, Verb.RESTART, Verb.CHANGE_LIVE})


def withhold_locked(context: DiffContext, findings: Iterable[Finding]) -> list[Finding]:
    """Findings without the changes of objects that must wait for an order, or for its result to show; those are
    deferred."""
    kept: list[Finding] = []
    locked: dict[str, Deferred] = {}
    for one in findings:
        wait = find_wait(context, one.object) if isinstance(one, Change) else None
        if wait is None:
            kept.append(one)
        else:
            locked[one.object] = wait
    return [*kept, *locked.values()]


def find_wait(context: DiffContext, name: str) -> Deferred | None:
    """What an object must wait for before anything is planned for it: a plan that is being carried out, an order that
    has not ended, or facts that show its last result."""
    if name in context.locked:
        return Deferred(name, context.locked[name], "that has ended")
    observed = context.observed
    order, outdated = observed.open_orders.get(name), observed.outdated.get(name)
    if order is not None:
        reason = f"order {order.kind} is {order.state} on {order.host}"
        return Deferred(name, reason, "it has ended, or was settled")
    if outdated is not None:
        return Deferred(name, outdated.reason, f"{outdated.host} has told of itself again")
    return None


def unusable_disks(context: DiffContext, findings: Iterable[Finding]) -> frozenset[str]:
    """Disks that are not made, and that this plan does not make: what blocks or delays them is among the findings."""
    held = {
        one.object
        for one in findings
        if isinstance(one, Blocked | Deferred) and one.object in context.desired.disks
    }
    return frozenset(name for name in held if not _has_image(context, name))


def _has_image(context: DiffContext, disk: str) -> bool:
    seen = context.observed.disks.get(context.identities.disks[disk])
    return seen is not None and seen.volume is not None and seen.volume.legal and not seen.volume.removed


def withhold_undrained(context: DiffContext, findings: Sequence[Finding]) -> list[Finding]:
    """Findings in which a host is closed, a bridge or a disk removed, only if every guest leaves it in this plan."""
    changes = [one for one in findings if isinstance(one, Change)]
    leaving = {(one.object, one.host) for one in changes if one.verb in LEAVES}
    unplugging = {(one.object, one.host) for one in changes if one.verb in UNPLUGS}
    released = [*_released_disks(changes)]
    return [
        _unused(context, one, released)
        if isinstance(one, Change) and one.verb is Verb.REMOVE
        else _drained(context, one, leaving, unplugging)
        for one in findings
    ]


def _released_disks(changes: Iterable[Change]) -> Iterator[tuple[str, str]]:
    """VMs that stop, each with the empty text; and VMs that let go of a disk, each with its name in the guest."""
    for one in changes:
        if one.verb is Verb.STOP:
            yield one.object, ""
        elif one.verb in (Verb.CHANGE_LIVE, Verb.RESTART):
            yield from ((one.object, str(field.before)) for field in one.fields if field.field == "vm.disks")


def _unused(context: DiffContext, removal: Change, released: Sequence[tuple[str, str]]) -> Finding:
    """The removal of a disk only if no running guest keeps it; that of a VM as it is."""
    image = context.observed.disk_of.get(removal.object)
    if not removal.object.startswith("disk/") or image is None:
        return removal
    users = [
        (_name(context, uuid), disk.name)
        for uuid, seen in context.observed.vms.items()
        for guest in seen.guests
        for disk in (guest.facts.config.disks if guest.facts.config else ())
        if disk.image == image
    ]
    keeping = sorted({vm for vm, name in users if (vm, "") not in released and (vm, name) not in released})
    if not keeping:
        return removal
    verb = "runs" if len(keeping) == 1 else "run"
    return Deferred(removal.object, f"{', '.join(keeping)} {verb} with it", "no guest has it any more")


def _drained(
    context: DiffContext,
    one: Finding,
    leaving: set[tuple[str, str | None]],
    unplugging: set[tuple[str, str | None]],
) -> Finding:
    if not isinstance(one, Change) or one.host is None:
        return one
    host = context.observed.hosts[one.host]
    if one.verb is Verb.ENTER_MAINTENANCE:
        staying = [name for name in _guests(context, host) if (name, host.id) not in leaving]
        return _wait(one.object, staying, "on it", "its guests have left") if staying else one
    if one.verb is Verb.REMOVE_NETWORK:
        plugged = _guests(context, host, str(one.subject))
        staying = [name for name in plugged if (name, host.id) not in unplugging]
        where = f"plugged into {one.subject}"
        return _wait(one.object, staying, where, f"nothing uses {one.subject} here") if staying else one
    return one


def _wait(host: str, staying: list[str], where: str, until: str) -> Deferred:
    return Deferred(host, f"{', '.join(staying)} {'stays' if len(staying) == 1 else 'stay'} {where}", until)


def _guests(context: DiffContext, host: HostObservation, network: str | None = None) -> list[str]:
    """Names of the guests of a host, sorted; only of those plugged into a network, if one is given."""
    if host.state is None:
        return []
    bridges = {one.bridge for one in host.state.networks if one.network == network}
    return sorted(
        _name(context, guest.uuid)
        for guest in host.state.guests
        if network is None
        or (guest.config is not None and any(nic.bridge in bridges for nic in guest.config.nics))
    )


def _name(context: DiffContext, uuid: str) -> str:
    """A guest's object id as declared, as recorded, else by its uuid."""
    seen = context.observed.vms.get(uuid)
    return context.names.get(uuid) or (seen.object if seen else None) or f"guest/{uuid}"
