"""A disk that goes from one VM to another has one writer at any time: whoever is to get it waits for the one that has
it. Called by `diff`; the order of unplugging and plugging within a plan is `planning`'s."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from reconciler.diffing.context import DiffContext, Finding
from reconciler.model.change import Change, Deferred, FieldChange, Verb
from reconciler.model.observed import Presence, VmObservation

TAKES = frozenset({Verb.START, Verb.RESTART, Verb.CHANGE_LIVE})


def withhold_shared(context: DiffContext, findings: Sequence[Finding]) -> list[Finding]:
    """Findings without the starts, restarts and plugs that would give a disk to a VM while another has it or may have
    it, unless that one stops or is unplugged in this plan. They are deferred."""
    if not any(isinstance(one, Change) and _wanted(context, one) for one in findings):
        return list(findings)
    users = _users_of_images(context)
    released = set(_released(findings))
    kept: list[Finding] = []
    for one in findings:
        kept.extend(_without_shared(context, one, users, released) if isinstance(one, Change) else (one,))
    return kept


def _wanted(context: DiffContext, change: Change) -> tuple[str, ...]:
    """Disks that a change gives to its VM."""
    if change.verb not in TAKES or change.object not in context.desired.vms:
        return ()
    if change.verb is Verb.CHANGE_LIVE:
        return tuple(one.after for one in change.fields if _plugs(one))
    return tuple(one.disk for one in context.desired.vms[change.object].disks)


def _plugs(field: FieldChange) -> bool:
    return field.field == "vm.disks" and field.after is not None


def _users_of_images(context: DiffContext) -> Mapping[str, set[str]]:
    """By image, the uuids of the VMs that run with it, or may do so out of sight."""
    users: dict[str, set[str]] = defaultdict(set)
    for uuid, seen in context.observed.vms.items():
        for image in _images_of(context, seen):
            users[image].add(uuid)
    return users


def _images_of(context: DiffContext, seen: VmObservation) -> Iterator[str]:
    """Images that a VM may have open: those of its guests; if it may run out of sight, those of its record."""
    for guest in seen.guests:
        if guest.facts.config is not None:
            yield from (disk.image for disk in guest.facts.config.disks)
    if seen.record is not None and (seen.presence is Presence.UNKNOWN or seen.doubts):
        ids = (context.observed.disk_of.get(name) for name in seen.record.disks)
        yield from (image for image in ids if image is not None)


def _released(findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """VMs that stop, each with the empty text; VMs from which a disk is unplugged live, each with its name there."""
    for one in findings:
        if isinstance(one, Change) and one.verb is Verb.STOP:
            yield one.object, ""
        elif isinstance(one, Change) and one.verb is Verb.CHANGE_LIVE:
            yield from ((one.object, str(field.before)) for field in one.fields if field.field == "vm.disks")


def _without_shared(
    context: DiffContext, one: Change, users: Mapping[str, set[str]], released: set[tuple[str, str]]
) -> Iterator[Finding]:
    """The change as far as nobody else keeps what it wants, and what is put off."""
    wanted = _wanted(context, one)
    own = context.identities.vms[one.object] if wanted else ""
    keepers = {disk: keeping for disk in wanted if (keeping := _keepers(context, disk, users, own, released))}
    if not keepers:
        yield one
        return
    if one.verb is Verb.CHANGE_LIVE:
        rest = tuple(field for field in one.fields if not _plugs(field) or field.after not in keepers)
        if rest:
            yield replace(one, fields=rest)
    names = ", ".join(f"{disk} (in use by {' and '.join(keeping)})" for disk, keeping in keepers.items())
    yield Deferred(one.object, f"it is to get {names}", "they have let go of it")


def _keepers(
    context: DiffContext,
    disk: str,
    users: Mapping[str, set[str]],
    own: str,
    released: set[tuple[str, str]],
) -> list[str]:
    """Names of the other VMs that have a disk and do not let go of it in this plan."""
    image = context.identities.disks[disk]
    found = []
    for uuid in users.get(image, set()) - {own}:
        seen = context.observed.vms[uuid]
        name = context.names.get(uuid, seen.object)
        config = seen.guest.config if seen.guest else None
        there = next((one.name for one in config.disks if one.image == image), "") if config else ""
        certain = seen.presence is Presence.RUNNING and not seen.doubts
        if not certain or not {(name, ""), (name, there)} & released:
            found.append(name or f"guest/{uuid}")
    return sorted(found)
