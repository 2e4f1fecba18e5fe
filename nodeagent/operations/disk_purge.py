"""purge-disk: deletes the bytes of an image that has been marked removed for long enough. Its record stays."""

import os
from typing import Any

from nodeagent.clock import wallclock_ms
from nodeagent.formats.files import list_names, open_directory
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.disk_images import Image, find_image, refuse, who_uses
from nodeagent.wire.arguments import PurgeDisk


def _objection(host: Host, arguments: PurgeDisk) -> str | None:
    image = find_image(host, arguments.storage_domain, arguments.image)
    record = image.record
    if record is None or not record.removed or record.removed_at_ms is None:
        return f"disk image {image.uuid} is not marked removed by a record of Ostler"
    age_ms = wallclock_ms() - record.removed_at_ms
    if age_ms < 0:
        return "the disk was removed in the future by this host's clock; set the clock right"
    if age_ms < arguments.retention_ms:
        return f"the disk was removed {age_ms} ms ago, and stays restorable for {arguments.retention_ms} ms"
    if image.uuid in image.names():
        return f"disk image {image.uuid} is back in use"
    return who_uses(host, image, image.removed_name)


def _run(host: Host, arguments: PurgeDisk, _control: Control) -> dict[str, Any]:
    refuse(_objection(host, arguments))
    image = find_image(host, arguments.storage_domain, arguments.image)
    try:
        _delete(image)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OperationError(
            f"disk image {image.uuid} is not wholly purged: {error.strerror}",
            "see to the storage, then repeat",
        ) from error
    return {}


def _delete(image: Image) -> None:
    """Metadata first: what is half purged can then not be restored by mistake."""
    with open_directory(image.place, "images") as images:
        with open_directory(image.place, "images", image.removed_name) as directory:
            names = list_names(directory)
            for name in sorted(names, key=lambda name: (not name.endswith(".meta"), name)):
                os.unlink(name, dir_fd=directory)
            os.fsync(directory)
        os.rmdir(image.removed_name, dir_fd=images)
        os.fsync(images)


def _difference(host: Host, arguments: PurgeDisk) -> str | None:
    image = find_image(host, arguments.storage_domain, arguments.image)
    return "some of its bytes are still there" if image.names() else None


OPERATION: Operation[PurgeDisk] = Operation(
    kind="purge-disk",
    check=_objection,
    run=_run,
    verify=_difference,
    recover=lambda host, arguments, _control: _difference(host, arguments) is None,
    locks=lambda arguments: (f"disk/{arguments.image}",),
)
