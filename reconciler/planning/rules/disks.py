"""Disks: made, completed, adopted, grown, removed, restored, and their records written."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nodeagent.wire.arguments import CreateDisk, GrowDisk, PurgeDisk, RemoveDisk, RestoreDisk, WriteDiskRecord
from nodeagent.wire.orders import Evidence
from nodeagent.wire.records import DiskRecord
from reconciler.model.change import Change, Disruption, Verb
from reconciler.model.desired import Disk
from reconciler.model.observed import Presence, VmObservation
from reconciler.model.plan import Estimate, Step
from reconciler.model.quantities import format_bytes
from reconciler.planning.context import PlanContext
from reconciler.planning.rules.records import describe_writing
from reconciler.planning.steps import make_step

DISK_TIMEOUT_MS = 600_000
PREALLOCATION_BYTES_PER_SECOND = 200 * 2**20


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Who uses disks. homes: disk id to the host where its VM is to run; users: image to the VM that runs with it."""

    homes: dict[str, str]
    users: dict[str, VmObservation]


def plan_disks(context: PlanContext) -> Iterator[Step]:
    """Steps of every disk that changes."""
    changes = [one for one in context.changes.changes if one.object.startswith("disk/")]
    use = _disk_use(context) if changes else DiskUse({}, {})
    for change in changes:
        disk = context.desired.disks.get(change.object)
        if change.verb is Verb.PURGE:
            yield _purge(context, change)
        elif disk is not None:
            yield from _declared(context, use, change, disk)
        elif change.verb is Verb.REMOVE:
            yield _remove(context, change)


def _disk_use(context: PlanContext) -> DiskUse:
    """Both look-ups, made once for all disks."""
    homes = {
        one.disk: assignment.host
        for name, assignment in context.placement.assignments.items()
        if assignment.host
        for one in context.desired.vms[name].disks
    }
    users = {
        disk.image: seen
        for seen in context.observed.vms.values()
        if seen.presence is Presence.RUNNING and seen.guest and seen.guest.config
        for disk in seen.guest.config.disks
    }
    return DiskUse(homes, users)


def _declared(context: PlanContext, use: DiskUse, change: Change, disk: Disk) -> Iterator[Step]:
    """One change of a declared disk."""
    domain = context.desired.storage_domains[disk.storage_domain].uuid
    host = context.worker_for(domain, use.homes.get(disk.meta.id))
    if change.verb is Verb.CREATE:
        yield _create(context, change, disk, host)
    elif change.verb is Verb.GROW:
        yield _grow(context, use, change, disk)
    elif change.verb is Verb.RESTORE:
        record = _next(context, change.object)
        yield make_step(
            change, RestoreDisk(replace(record, removed=False, removed_at_ms=None)),
            verb="restore", host=host, summary="take the removed image back into use",
        )  # fmt: skip
    elif change.verb in (Verb.UPDATE, Verb.ADOPT):
        record = _next(context, change.object)
        found = context.observed.disks.get(record.image)
        told = describe_writing(found.record if found else None, record)
        yield make_step(
            change, WriteDiskRecord(record),
            verb="adopt" if change.verb is Verb.ADOPT else "update-record", host=host,
            summary=f"write its record{': ' if told else ''}{', '.join(told)}", timeout_ms=DISK_TIMEOUT_MS,
        )  # fmt: skip


def _create(context: PlanContext, change: Change, disk: Disk, host: str) -> Step:
    """Making an image, or completing a half-made one."""
    full = disk.allocation == "preallocated"
    seconds = 1 + (disk.size_bytes // PREALLOCATION_BYTES_PER_SECOND if full else 0)
    return make_step(
        change,
        CreateDisk(
            context.desired.storage_domains[disk.storage_domain].uuid,
            _next(context, change.object),
            disk.size_bytes,
            disk.format,
            disk.allocation,
            disk.description or disk.meta.name,
        ),
        verb="create",
        host=host,
        summary=f"make {disk.allocation} {disk.format} image of {format_bytes(disk.size_bytes)} on {disk.storage_domain}",
        estimate=Estimate(seconds=seconds, bytes=disk.size_bytes if full else 0),
        timeout_ms=DISK_TIMEOUT_MS,
    )


def _grow(context: PlanContext, use: DiskUse, change: Change, disk: Disk) -> Step:
    """Growing an image: through the guest that runs with it, else on storage."""
    domain = context.desired.storage_domains[disk.storage_domain].uuid
    user = use.users.get(context.identities.disks[disk.meta.id])
    host = user.host if user and user.host else context.worker_for(domain, use.homes.get(disk.meta.id))
    image = context.identities.disks[disk.meta.id]
    seen = context.observed.disks[image]
    assert seen.volume is not None
    before, after = change.fields[0].before, change.fields[0].after
    evidence = (
        Evidence("here", user.record.run.number if user.record and user.record.run else 0) if user else None
    )
    return make_step(
        change,
        GrowDisk(domain, image, seen.volume.volume, disk.size_bytes, user.uuid if user else None),
        verb="grow",
        host=host,
        summary=f"grow {format_bytes(before)} → {format_bytes(after)}{', in the running guest' if user else ''}",
        evidence=evidence,
        timeout_ms=DISK_TIMEOUT_MS,
    )


def _remove(context: PlanContext, change: Change) -> Step:
    """Marking an image removed; its bytes stay for the data center's retention."""
    seen = context.observed.disks[context.observed.disk_of[change.object]]
    assert seen.record is not None
    days = context.desired.data_center.retention_ms // 86_400_000
    summary = f"mark the image removed, with consent; restorable for {days} days"
    return make_step(
        change,
        RemoveDisk(replace(seen.record, revision=seen.record.revision + 1, removed=True)),
        verb="remove",
        host=context.worker_for(seen.storage_domain),
        summary=summary
        if seen.volume
        else "its image is gone already: mark its record removed, with consent",
        disruption=Disruption.DATA_LOSS,
        timeout_ms=DISK_TIMEOUT_MS,
    )


def _purge(context: PlanContext, change: Change) -> Step:
    """Deleting the bytes of an image whose removal had a consent; several images may have had one name."""
    image = str(change.subject)
    seen = context.observed.disks[image]
    namesakes = [one.subject for one in context.of_verb(Verb.PURGE) if one.object == change.object]
    number = namesakes.index(image) + 1
    return make_step(
        change,
        PurgeDisk(seen.storage_domain, image, context.desired.data_center.retention_ms),
        verb="purge" if number == 1 else f"purge.{number}",
        host=str(change.host),
        summary=f"delete the bytes of the image {image}, removed with consent {change.because[0].ref} ago or more",
        disruption=Disruption.DATA_LOSS,
        timeout_ms=DISK_TIMEOUT_MS,
    )


def _next(context: PlanContext, disk: str) -> DiskRecord:
    """The record to write, with the next revision."""
    record = context.changes.disk_records[disk]
    return replace(record, revision=record.revision + 1)
