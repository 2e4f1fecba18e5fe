"""One disk that orders make, change and remove: what tests of disks share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nodeagent.facts.storage import StorageReader
from nodeagent.formats.diskrecords import read_disk_record, write_disk_record
from nodeagent.host import Host
from nodeagent.operations import disk_create, disk_grow, disk_purge, disk_record, disk_remove, disk_restore
from nodeagent.wire.arguments import CreateDisk
from nodeagent.wire.records import DiskRecord, VolumeFacts

DOMAIN = "44444444-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
IMAGE = "22222222-2222-4333-8444-555555555555"
VOLUME = "33333333-2222-4333-8444-555555555555"
VM = "11111111-2222-4333-8444-555555555555"
MIB = 1024 * 1024

Order = Callable[..., str]
CREATE, GROW, RECORD = disk_create.OPERATION, disk_grow.OPERATION, disk_record.OPERATION
REMOVE, RESTORE, PURGE = disk_remove.OPERATION, disk_restore.OPERATION, disk_purge.OPERATION

DISK = DiskRecord(
    image=IMAGE,
    volume=VOLUME,
    object="disk/root",
    data_center=CENTER,
    storage_domain=DOMAIN,
    revision=1,
    incarnation=1,
    last_order="apply/step",
)
CREATION = CreateDisk(DOMAIN, DISK, 8 * MIB, "qcow2", "thin", "root of web-1")


def following(record: DiskRecord) -> DiskRecord:
    return replace(record, revision=record.revision + 1)


def consent(place: Path) -> DiskRecord:
    """The record to remove the disk by, after consent was written to the one on storage."""
    record = read_disk_record(place, IMAGE)
    assert record is not None
    allowed = replace(following(record), allow_destroy=IMAGE)
    write_disk_record(place, allowed)
    return following(allowed)


def volumes(host: Host) -> tuple[VolumeFacts, ...]:
    contents = StorageReader(host.storage).read(DOMAIN)
    assert contents is not None
    assert contents.complete
    return contents.volumes
