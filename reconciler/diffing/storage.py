"""Storage domains, disks and the pool's record against their manifests."""

from collections.abc import Iterator
from dataclasses import replace

from nodeagent.wire.records import PoolRecord
from reconciler.diffing.context import (
    DiffContext,
    Finding,
    domain_exists,
    domain_name,
    domain_readable,
    objection_to_domain,
    objection_to_letting_go,
    workers_of,
)
from reconciler.diffing.doubts import objection_to_consent
from reconciler.diffing.fields import effect_of
from reconciler.diffing.hostids import pool_out_of_reach
from reconciler.diffing.records import disk_record
from reconciler.model.change import Blocked, Change, Effect, FieldChange, Reason, Verb
from reconciler.model.desired import Disk, StorageDomain
from reconciler.model.observed import DiskObservation
from reconciler.model.quantities import format_bytes


def diff_storage_domain(context: DiffContext, domain: StorageDomain) -> Iterator[Finding]:
    """Whether the domain is to be made, and by which host: its own (localfs), else the first that answers."""
    objection = objection_to_domain(context, domain)
    if objection is not None:
        yield objection
        return
    if domain_exists(context, domain.uuid):
        return
    hosts = workers_of(context, domain.host)
    if not hosts:
        yield Blocked(domain.meta.id, "no host that could make it answers", "bring one of its hosts back")
        return
    yield Change(domain.meta.id, Verb.CREATE, (Reason("declared"),), host=hosts[0])


def diff_pool(context: DiffContext, made: frozenset[str]) -> PoolRecord | None:
    """The pool's record as it should be: the ids of hosts, the domains that there are.

    None if it stays, or is there and cannot be read. made: uuids of the domains that this plan makes.
    """
    if context.master is None or pool_out_of_reach(context):
        return None
    old = context.observed.pool or PoolRecord(context.desired.data_center.uuid, 0)
    wanted = replace(old, host_ids=dict(context.host_ids), domains=_listed_domains(context, old, made))
    return None if wanted == context.observed.pool else replace(wanted, revision=old.revision + 1)


def _listed_domains(context: DiffContext, old: PoolRecord, made: frozenset[str]) -> dict[str, str]:
    """Domains by id: those declared that are there, or will be; and those not declared that are not let go.

    What is listed is taken to hold records, so a domain that does not exist must not be listed.
    """
    declared = {one.meta.id: one.uuid for one in context.desired.storage_domains.values()}
    uuids = set(declared.values())
    kept = {
        name: uuid
        for name, uuid in old.domains.items()
        if uuid not in uuids and objection_to_letting_go(context, uuid) is not None
    }
    there = {name: uuid for name, uuid in declared.items() if uuid in made or domain_exists(context, uuid)}
    return {**kept, **there}


def diff_disk(context: DiffContext, disk: Disk) -> Iterator[Finding]:
    """What to do to one disk: made, completed, restored, grown; its record written; never shrunk or replaced."""
    domain = context.desired.storage_domains[disk.storage_domain]
    image = context.identities.disks[disk.meta.id]
    seen = context.observed.disks.get(image)
    objection = objection_to_consent(disk.meta, image, "disk")
    if objection is not None:
        yield objection
    elif objection_to_domain(context, domain) is not None:
        yield Blocked(
            disk.meta.id, f"{domain.meta.id} is blocked", f"see what the plan says of {domain.meta.id}"
        )
    elif not workers_of(context, domain.host):
        yield Blocked(
            disk.meta.id,
            f"no host that reaches {domain.meta.id} answers",
            f"bring {domain.host or 'one of the hosts'} back",
        )
    elif domain_exists(context, domain.uuid) and not domain_readable(context, domain.uuid) and seen is None:
        yield Blocked(
            disk.meta.id,
            f"{domain.meta.id} could not be read, so it is not known whether the disk exists",
            f"bring a host back that is connected to {domain.meta.id}",
        )
    elif seen is None or (seen.record is None and seen.volume is None):
        more = disk.size_bytes if disk.allocation == "preallocated" else 0
        yield _short_of_space(context, disk, more) or Change(disk.meta.id, Verb.CREATE, (Reason("declared"),))
    else:
        yield from _existing(context, disk, seen)


def _existing(context: DiffContext, disk: Disk, seen: DiskObservation) -> Iterator[Finding]:
    """A disk that storage knows."""
    if seen.record is not None and seen.record.removed and seen.volume is None:
        yield Blocked(
            disk.meta.id,
            "it was removed, and its bytes are gone: its days were over",
            "take spec.uuid away, and a new disk is made; or name another image",
        )
        return
    if seen.record is not None and seen.record.removed:
        yield Change(disk.meta.id, Verb.RESTORE, (Reason("declared-again"),))
        return
    if seen.volume is None:
        yield Blocked(
            disk.meta.id,
            "its record exists, and its image is missing on storage",
            "put the image back from a backup; or declare a new disk under another name",
        )
        return
    in_place = seen.storage_domain == context.desired.storage_domains[disk.storage_domain].uuid
    if not seen.volume.legal and in_place:
        yield Change(disk.meta.id, Verb.CREATE, (Reason("half-made", seen.image),))
        return
    refused = tuple(_refused(context, disk, seen))
    if refused:
        yield Blocked(
            disk.meta.id,
            "it cannot change in place",
            "take the change back, or make a new disk",
            refused,
        )
        return
    yield from _in_place(context, disk, seen)


def _refused(context: DiffContext, disk: Disk, seen: DiskObservation) -> Iterator[FieldChange]:
    """Fields whose change would replace or shrink the image."""
    volume = seen.volume
    assert volume is not None
    if volume.capacity_bytes > disk.size_bytes:
        yield FieldChange(
            "disk.size", volume.capacity_bytes, disk.size_bytes, effect_of("disk.size", ("lowered",))
        )
    if volume.format != disk.format:
        yield FieldChange("disk.format", volume.format, disk.format, Effect.REFUSE)
    if volume.allocation != disk.allocation:
        yield FieldChange("disk.allocation", volume.allocation, disk.allocation, Effect.REFUSE)
    wanted = context.desired.storage_domains[disk.storage_domain].uuid
    if seen.storage_domain != wanted:
        here = domain_name(context, seen.storage_domain)
        yield FieldChange("disk.storageDomain", here, disk.storage_domain, Effect.REFUSE)


def _in_place(context: DiffContext, disk: Disk, seen: DiskObservation) -> Iterator[Finding]:
    """Growth, and the record."""
    volume = seen.volume
    assert volume is not None
    record = disk_record(context.desired, context.identities, disk, seen)
    if record is not seen.record and record != seen.record:
        verb = Verb.ADOPT if seen.record is None or not seen.record.managed else Verb.UPDATE
        yield Change(disk.meta.id, verb, (Reason("manifest-changed" if verb is Verb.UPDATE else "adopted"),))
    if volume.capacity_bytes < disk.size_bytes:
        field = FieldChange(
            "disk.size", volume.capacity_bytes, disk.size_bytes, effect_of("disk.size", ("raised",))
        )
        more = disk.size_bytes - volume.capacity_bytes if disk.allocation == "preallocated" else 0
        yield _short_of_space(context, disk, more) or Change(
            disk.meta.id, Verb.GROW, (Reason("declared-size", "spec.size"),), fields=(field,)
        )


def _short_of_space(context: DiffContext, disk: Disk, more: int) -> Blocked | None:
    """Why a disk is neither made nor grown: its domain would have less than its critical space left. more: bytes."""
    domain = context.desired.storage_domains[disk.storage_domain]
    seen = context.observed.storage.get(domain.uuid)
    contents = seen.contents if seen is not None else None
    if contents is None or contents.total_bytes == 0:
        return None
    if contents.free_bytes - more >= domain.critical_space_bytes:
        return None
    free = format_bytes(contents.free_bytes // 2**20 * 2**20)
    least = format_bytes(domain.critical_space_bytes)
    return Blocked(
        disk.meta.id,
        f"{domain.meta.id} has {free} free, and {least} of it must stay free (spec.criticalSpace)",
        f"make space on {domain.meta.id}, or lower its criticalSpace",
    )
