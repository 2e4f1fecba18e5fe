"""restore-disk: takes a removed image back into use, as it was."""

from dataclasses import replace
from typing import Any

from nodeagent.formats.diskrecords import write_disk_record
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.disk_images import Image, find_image, is_one_disk, move_image, refuse
from nodeagent.wire.arguments import RestoreDisk


def _objection(host: Host, arguments: RestoreDisk) -> str | None:
    image = find_image(host, arguments.record.storage_domain, arguments.record.image)
    record, named = image.record, arguments.record
    if record is None:
        return f"Ostler has no record of disk image {image.uuid}"
    if not record.removed:
        return None if image.uuid in image.names() else f"disk image {image.uuid} is not there"
    if named.revision != record.revision + 1 or not is_one_disk(record, named):
        return f"the disk's record has revision {record.revision}, and the order was made from another one"
    return _objection_to_files(image, record.volume)


def _objection_to_files(image: Image, volume: str) -> str | None:
    names = image.names()
    if len(names) > 1:
        return f"disk image {image.uuid} is there twice, in use and removed"
    if not names:
        return f"disk image {image.uuid} was purged: its bytes are gone"
    if not {volume, f"{volume}.meta"} <= image.files(next(iter(names))):
        return f"disk image {image.uuid} is being purged: its bytes are gone"
    return None


def _run(host: Host, arguments: RestoreDisk, control: Control) -> dict[str, Any]:
    refuse(_objection(host, arguments))
    image = find_image(host, arguments.record.storage_domain, arguments.record.image)
    if image.record is None or not image.record.removed:
        return {}
    move_image(image, image.removed_name, image.uuid)
    restored = replace(
        arguments.record,
        removed=False,
        removed_at_ms=None,
        last_order=control.key,
    )
    write_disk_record(image.place, restored)
    return {}


def _difference(host: Host, arguments: RestoreDisk) -> str | None:
    image = find_image(host, arguments.record.storage_domain, arguments.record.image)
    if image.record is None or image.record.removed:
        return "the disk's record says that it is removed"
    return None if image.names() == {image.uuid} else "the image is not back in its place"


OPERATION: Operation[RestoreDisk] = Operation(
    kind="restore-disk",
    check=_objection,
    run=_run,
    verify=_difference,
    recover=lambda host, arguments, _control: _difference(host, arguments) is None,
    locks=lambda arguments: (f"disk/{arguments.record.image}",),
)
