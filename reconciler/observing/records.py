"""Turns what domains hold into one record a VM and one a disk: the higher readable revision of master and copy.

Called by `assemble`. Only a record in state `read` is evidence; in another state it merely says whose VM it is.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from nodeagent.wire.codec import encode
from nodeagent.wire.facts import StorageContents
from nodeagent.wire.records import DiskRecord, VmRecord, VolumeFacts
from nodeagent.wire.version import MAJOR
from reconciler.model.observed import DiskObservation, RecordState, StorageObservation
from reconciler.observing.domains import Standing


@dataclass(frozen=True, slots=True)
class Found:
    """What storage says of one VM. record is None for one that cannot be read, or of which there is none."""

    record: VmRecord | None
    state: RecordState


def find_records(
    center: str,
    storage: Mapping[str, StorageObservation],
    standing: Standing,
    wanted: Collection[str] | None = None,
) -> dict[str, Found]:
    """Every VM with a record anywhere, readable or not, by uuid; only those `wanted`, if that is given.

    The higher revision of master and copy wins, with the higher run of both: a claim is there before the revision
    that follows it. Two records of one revision that differ otherwise are damaged. A record is `read` if the
    master's was; where only a copy is left, or the master's is damaged or another data center's, it is
    unreadable; while masters were not read (in full, if there are two) it is unknown.
    """
    masters = [one for uuid in standing.masters if (one := _contents(storage, uuid)) is not None]
    others = [one.contents for uuid, one in storage.items() if one.contents and uuid not in standing.masters]
    best, damaged = _newest(center, masters, wanted)
    copies, damaged_copies = _newest(center, others, wanted)
    if not copies and not damaged and not damaged_copies:
        state: RecordState = "read" if standing.reliable else "unknown"
        return {uuid: Found(record, state) for uuid, record in best.items()}
    uuids = best.keys() | copies.keys() | damaged | damaged_copies
    return {uuid: _join(best.get(uuid), copies.get(uuid), uuid in damaged, standing) for uuid in uuids}


def _contents(storage: Mapping[str, StorageObservation], uuid: str) -> StorageContents | None:
    found = storage.get(uuid)
    return found.contents if found else None


def _newest(
    center: str, contents: Iterable[StorageContents], wanted: Collection[str] | None
) -> tuple[dict[str, VmRecord], set[str]]:
    """The newest record of each VM on some domains, and the VMs with a record there that cannot be relied on."""
    best: dict[str, VmRecord] = {}
    several: dict[str, list[VmRecord]] = {}
    damaged: set[str] = set()
    for one in contents:
        damaged.update(uuid for uuid in one.unreadable if wanted is None or uuid in wanted)
        for record in one.vms:
            uuid = record.uuid
            if wanted is not None and uuid not in wanted:
                continue
            if record.data_center != center or record.format.major > MAJOR:
                damaged.add(uuid)
            elif uuid in best:
                several.setdefault(uuid, [best[uuid]]).append(record)
            else:
                best[uuid] = record
    for uuid, records in several.items():
        best[uuid], agree = _merge(records)
        if not agree:
            damaged.add(uuid)
    return best, damaged


def _merge(records: list[VmRecord]) -> tuple[VmRecord, bool]:
    """The record that several of one VM make together, and whether the newest of them agree."""
    if all(record == records[0] for record in records):
        return records[0], True
    ranked = sorted(records, key=lambda record: (record.revision, encode(record)))
    newest = ranked[-1]
    peers = [record for record in ranked if record.revision == newest.revision]
    ahead = max(ranked, key=lambda record: (_run_number(record), record.revision))
    agree = all(
        replace(peer, run=None) == replace(newest, run=None)
        and all(peer.run == other.run for other in peers if _run_number(peer) == _run_number(other))
        for peer in peers
    )
    if _run_number(ahead) > _run_number(newest):
        return replace(newest, run=ahead.run), agree
    return newest, agree


def _run_number(record: VmRecord) -> int:
    return -1 if record.run is None else record.run.number


def _join(master: VmRecord | None, copy: VmRecord | None, damaged: bool, standing: Standing) -> Found:
    """The record of one VM from what its masters and its copies say; `damaged`: a master's cannot be relied on."""
    record, agree = master or copy, True
    if master is not None and copy is not None:
        record, agree = _merge([master, copy])
    if not standing.reliable:
        return Found(record, "unknown")
    if damaged or not agree:
        return Found(record, "unreadable")
    if master is not None:
        return Found(record, "read")
    return Found(record, "unreadable" if standing.masters_complete else "unknown")


def find_disks(center: str, storage: Mapping[str, StorageObservation]) -> dict[str, DiskObservation]:
    """Every disk image by uuid, sorted: its record of the highest revision, and its volume on the record's domain.

    An image without a record has the domain where it lies, the first of several.
    """
    records = _disk_records(center, storage)
    volumes: dict[str, dict[str, VolumeFacts]] = {}
    lone: dict[str, str] = {}
    for domain, one in storage.items():
        if one.contents is None:
            continue
        place = volumes[domain] = {}
        for volume in one.contents.volumes:
            place[volume.image] = _own_volume(records.get(volume.image), place.get(volume.image), volume)
            if volume.image not in records:
                lone.setdefault(volume.image, domain)
    found = {
        image: DiskObservation(
            image,
            record.storage_domain,
            record.object,
            record,
            volumes.get(record.storage_domain, {}).get(image),
        )
        for image, record in records.items()
    }
    for image, domain in lone.items():
        found[image] = DiskObservation(image, domain, None, None, volumes[domain][image])
    return {image: found[image] for image in sorted(found)}


def ages_of_removed(disks: Mapping[str, DiskObservation], wallclock_ms: int | None) -> dict[str, int]:
    """How long ago each removed image whose bytes are still there was removed, in ms, by image; nothing without a clock."""
    if wallclock_ms is None:
        return {}
    return {
        image: wallclock_ms - one.record.removed_at_ms
        for image, one in disks.items()
        if one.record is not None
        and one.record.removed
        and one.record.removed_at_ms is not None
        and one.volume is not None
        and one.volume.removed
    }


def _disk_records(center: str, storage: Mapping[str, StorageObservation]) -> dict[str, DiskRecord]:
    best: dict[str, DiskRecord] = {}
    for one in storage.values():
        for record in one.contents.disks if one.contents else ():
            if record.data_center != center or record.format.major > MAJOR:
                continue
            other = best.get(record.image)
            if other is None or _disk_rank(record) > _disk_rank(other):
                best[record.image] = record
    return best


def _disk_rank(record: DiskRecord) -> tuple[int, bytes]:
    return record.revision, encode(record)


def _own_volume(record: DiskRecord | None, other: VolumeFacts | None, volume: VolumeFacts) -> VolumeFacts:
    """Of several volumes of one image the one that its record names, else the first by uuid."""
    if other is None:
        return volume
    wanted = record.volume if record else ""
    return min(other, volume, key=lambda one: (one.volume != wanted, one.volume, encode(one)))
