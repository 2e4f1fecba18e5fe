"""write-disk-record: the next revision of a disk's record; its first one adopts an image that is there already."""

from typing import Any

from nodeagent.formats.diskrecords import read_disk_record, write_disk_record
from nodeagent.formats.volumemetadata import read_volume_metadata
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.disk_images import Image, find_image, refuse
from nodeagent.operations.record_places import is_same, stamp
from nodeagent.wire.arguments import WriteDiskRecord
from nodeagent.wire.records import DiskRecord


def _objection(host: Host, arguments: WriteDiskRecord) -> str | None:
    record = arguments.record
    image = find_image(host, record.storage_domain, record.image)
    if is_same(image.record, record):
        return None
    before = image.record
    if before is None:
        return _objection_to_adoption(image, record)
    if record.revision != before.revision + 1:
        return (
            f"the disk's record has revision {before.revision}, so revision {record.revision} cannot follow"
        )
    if (before.volume, before.data_center) != (record.volume, record.data_center):
        return "a record keeps its volume and its data center"
    if (before.removed, before.removed_at_ms) != (record.removed, record.removed_at_ms):
        return "only remove-disk and restore-disk say whether a disk is removed"
    return None


def _objection_to_adoption(image: Image, record: DiskRecord) -> str | None:
    metadata = read_volume_metadata(image.place, record.image, record.volume)
    if metadata is None or metadata.legality != "LEGAL":
        return f"there is no legal volume {record.volume} in disk image {record.image}"
    if record.revision != 1 or record.removed or record.removed_at_ms is not None:
        return "the first revision of a record is 1, and its disk is not removed"
    return None


def _run(host: Host, arguments: WriteDiskRecord, control: Control) -> dict[str, Any]:
    refuse(_objection(host, arguments))
    image = find_image(host, arguments.record.storage_domain, arguments.record.image)
    if not is_same(image.record, arguments.record):
        write_disk_record(image.place, stamp(arguments.record, control.key))
    return {}


def _difference(host: Host, arguments: WriteDiskRecord) -> str | None:
    place = host.storage.answering_place(arguments.record.storage_domain)
    found = read_disk_record(place, arguments.record.image)
    return None if is_same(found, arguments.record) else "the disk's record on storage is another one"


OPERATION: Operation[WriteDiskRecord] = Operation(
    kind="write-disk-record",
    check=_objection,
    run=_run,
    verify=_difference,
    recover=lambda host, arguments, _control: _difference(host, arguments) is None,
    locks=lambda arguments: (f"disk/{arguments.record.image}",),
)
