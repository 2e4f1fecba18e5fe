"""Objects that Ostler manages and no manifest declares any more: removed with consent, else left and reported.

Leaving an object out never destroys anything by itself, and a manifest set that drops many objects at once
is blocked as a whole.
"""

from collections.abc import Iterator, Sequence

from nodeagent.wire.records import DiskRecord, VmRecord
from reconciler.diffing.context import DiffContext, Finding, domain_name
from reconciler.diffing.doubts import describe_doubt
from reconciler.model.change import Blocked, Change, Reason, Verb
from reconciler.model.observed import Presence

PRUNE_OBJECTS = 10
PRUNE_PERCENT = 10
ALWAYS_ALLOWED = 2
"""A VM with its disk: below this a small data center would never get rid of anything without a flag."""


def find_vanished(context: DiffContext) -> tuple[VmRecord | DiskRecord, ...]:
    """Records of managed, not removed VMs and disks that no manifest claims, by object id."""
    vms, disks = context.names, set(context.identities.disks.values())
    gone: list[VmRecord | DiskRecord] = [
        seen.record
        for uuid, seen in context.observed.vms.items()
        if uuid not in vms and seen.record and seen.record.managed and not seen.record.removed
    ]
    gone += [
        disk.record
        for image, disk in context.observed.disks.items()
        if image not in disks and disk.record and disk.record.managed and not disk.record.removed
    ]
    return tuple(sorted(gone, key=lambda record: (record.object, _uuid(record))))


def prune_limit(context: DiffContext) -> int:
    """How many objects may vanish at once: 10 objects or 10 % of what is managed, whichever is less."""
    managed = sum(
        1
        for one in context.observed.vms.values()
        if one.record and one.record.managed and not one.record.removed
    )
    managed += sum(
        1
        for one in context.observed.disks.values()
        if one.record and one.record.managed and not one.record.removed
    )
    return max(ALWAYS_ALLOWED, min(PRUNE_OBJECTS, managed * PRUNE_PERCENT // 100))


def block_mass_removal(
    context: DiffContext, gone: Sequence[VmRecord | DiskRecord], allow_prune: int
) -> Blocked | None:
    """The reason why nothing at all is planned, if manifests dropped too much; allow_prune: the number a person allows."""
    vanished = len(gone)
    empty = not context.desired.vms and not context.desired.disks and vanished > 0
    if vanished <= allow_prune or (vanished <= prune_limit(context) and not empty):
        return None
    what = "declare no VM and no disk any more" if empty else f"drop {vanished} managed objects"
    return Blocked(
        context.desired.data_center.meta.id,
        f"the manifests {what}; nothing is planned",
        f"check that all files were read; if it is meant, say --allow-prune {vanished}",
    )


def diff_vanished(context: DiffContext, record: VmRecord | DiskRecord) -> Iterator[Finding]:
    """Removal of one object with the consent that its record holds; blocked without."""
    uuid = _uuid(record)
    if record.allow_destroy != uuid:
        yield Blocked(
            record.object,
            "its manifest is gone and there is no consent to remove it; it stays as it is",
            f'declare it again; or apply it once more with the annotation ostler.dev/allow-destroy: "{uuid}" '
            f"before leaving it out",
        )
    elif isinstance(record, VmRecord):
        yield from _remove_vm(context, record)
    elif not _is_readable(context, record):
        name = domain_name(context, record.storage_domain)
        yield Blocked(
            record.object,
            f"it could not be read, or {name} not in full, so it is not known what there is to remove",
            f"bring {name} back; its record stays",
        )
    else:
        yield Change(record.object, Verb.REMOVE, (Reason("consent", uuid),))


def _is_readable(context: DiffContext, record: DiskRecord) -> bool:
    """Whether it is known that the image is there, or that it is not."""
    seen = context.observed.storage.get(record.storage_domain)
    if seen is None or seen.contents is None:
        return False
    there = context.observed.disks[record.image].volume is not None
    return there or (seen.contents.complete and record.image not in seen.contents.unreadable_disks)


def _remove_vm(context: DiffContext, record: VmRecord) -> Iterator[Finding]:
    """Stopping it where it runs, then its record."""
    seen = context.observed.vms[record.uuid]
    if seen.presence is Presence.UNKNOWN:
        doubts = ", ".join(describe_doubt(context, one, seen) for one in seen.doubts)
        yield Blocked(
            record.object, f"it is not known whether it runs: {doubts}", "bring the host back first"
        )
        return
    if seen.presence is Presence.RUNNING and seen.doubts:
        doubts = ", ".join(describe_doubt(context, one, seen) for one in seen.doubts)
        yield Blocked(record.object, f"it may run elsewhere as well: {doubts}", "bring the host back first")
        return
    if seen.presence is Presence.RUNNING:
        yield Change(record.object, Verb.STOP, (Reason("consent", record.uuid),), host=seen.host)
    elif record.run is not None and record.run.closed is None:
        yield Change(record.object, Verb.RECORD_EXIT, (Reason("consent", record.uuid),))
    yield Change(record.object, Verb.REMOVE, (Reason("consent", record.uuid),))


def _uuid(record: VmRecord | DiskRecord) -> str:
    """The uuid that a consent must name."""
    return record.uuid if isinstance(record, VmRecord) else record.image
