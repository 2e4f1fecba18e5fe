"""remove-disk: marks an image removed, with the consent that its record holds, which is used up by it.

No byte goes: the image's directory gets another name, and stays restorable until its purge. Of an image that is gone
already only the record is marked; the domain was read for that, or nothing is.
"""

from dataclasses import replace
from typing import Any

from nodeagent.clock import wallclock_ms
from nodeagent.formats.diskrecords import write_disk_record
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.disk_images import Image, find_image, is_one_disk, move_image, refuse, who_uses
from nodeagent.wire.arguments import RemoveDisk


def _objection(host: Host, arguments: RemoveDisk) -> str | None:
    image = find_image(host, arguments.record.storage_domain, arguments.record.image)
    record, named = image.record, arguments.record
    if record is None:
        return f"Ostler has no record of disk image {image.uuid}"
    if record.removed:
        return None
    if not record.managed:
        return f"disk image {image.uuid} is not managed by Ostler"
    if record.allow_destroy != image.uuid:
        return f"nobody has consented to remove disk image {image.uuid}: its record does not allow it"
    if named.revision != record.revision + 1 or not is_one_disk(record, named):
        return f"the disk's record has revision {record.revision}, and the order was made from another one"
    return _objection_to_files(host, image)


def _objection_to_files(host: Host, image: Image) -> str | None:
    names = image.names()
    if len(names) > 1:
        return f"disk image {image.uuid} is there twice, in use and removed"
    return next((who_uses(host, image, name) for name in names), None)


def _run(host: Host, arguments: RemoveDisk, control: Control) -> dict[str, Any]:
    refuse(_objection(host, arguments))
    image = find_image(host, arguments.record.storage_domain, arguments.record.image)
    if image.record is None or image.record.removed:
        return {}
    # The consent is in the record until its image has moved, so that a repeat can complete what was begun.
    if image.names():
        move_image(image, image.uuid, image.removed_name)
    removed = replace(
        arguments.record,
        removed=True,
        removed_at_ms=wallclock_ms(),
        allow_destroy=None,
        last_order=control.key,
    )
    try:
        write_disk_record(image.place, removed)
    except OperationError as error:
        raise OperationError(
            f"the image is marked, and its record not written: {error.summary}", error.action
        ) from error
    return {}


def _difference(host: Host, arguments: RemoveDisk) -> str | None:
    image = find_image(host, arguments.record.storage_domain, arguments.record.image)
    if image.record is None or not image.record.removed:
        return "the disk's record does not say that it is removed"
    return f"images/{image.uuid} is still there" if image.uuid in image.names() else None


OPERATION: Operation[RemoveDisk] = Operation(
    kind="remove-disk",
    check=_objection,
    run=_run,
    verify=_difference,
    recover=lambda host, arguments, _control: _difference(host, arguments) is None,
    locks=lambda arguments: (f"disk/{arguments.record.image}",),
)
