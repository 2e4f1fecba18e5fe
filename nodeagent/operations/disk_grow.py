"""grow-disk: a volume gets more bytes, never fewer; through the running guest if there is one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from nodeagent.drivers.qemuimg import read_image_info, resize_image
from nodeagent.formats.volumemetadata import (
    LARGEST_CAPACITY,
    VolumeMetadata,
    read_volume_metadata,
    write_volume_metadata,
)
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.disk_guests import files_in_use, grow_through_guest
from nodeagent.operations.disk_images import (
    GRANULARITY_BYTES,
    find_image,
    image_format,
    parent_of,
    refuse,
    who_uses,
)
from nodeagent.wire.arguments import GrowDisk


def _objection(host: Host, arguments: GrowDisk) -> str | None:
    image = find_image(host, arguments.storage_domain, arguments.image)
    if image.record is None or not image.record.managed or image.record.removed:
        return f"disk image {arguments.image} is not managed by Ostler, or removed"
    metadata = read_volume_metadata(image.place, arguments.image, arguments.volume)
    if metadata is None:
        return f"disk image {arguments.image} has no volume {arguments.volume}"
    if metadata.legality != "LEGAL" or metadata.type != "LEAF":
        return f"the volume is {metadata.legality} and {metadata.type}: only a legal leaf grows"
    if arguments.capacity_bytes % GRANULARITY_BYTES or arguments.capacity_bytes > LARGEST_CAPACITY // 2:
        return (
            f"{arguments.capacity_bytes} bytes are no size of a disk: whole {GRANULARITY_BYTES}, at least one"
        )
    if arguments.capacity_bytes < metadata.capacity_bytes:
        return f"the volume has {metadata.capacity_bytes} bytes; disks never shrink"
    path = host.storage.volume_path(arguments.storage_domain, arguments.image, arguments.volume)
    if arguments.vm is not None:
        return None if path in files_in_use(host) else f"no guest of this host uses {path}"
    return who_uses(host, image, image.uuid)


def _run(host: Host, arguments: GrowDisk, control: Control) -> dict[str, Any]:
    refuse(_objection(host, arguments))
    place = host.storage.answering_place(arguments.storage_domain)
    path = host.storage.volume_path(arguments.storage_domain, arguments.image, arguments.volume)
    metadata = read_volume_metadata(place, arguments.image, arguments.volume)
    assert metadata is not None  # the objection was about that
    _grow(host, path, metadata, arguments, control)
    if metadata.capacity_bytes != arguments.capacity_bytes:
        grown = replace(metadata, capacity_bytes=arguments.capacity_bytes)
        write_volume_metadata(place, arguments.image, arguments.volume, grown)
    return {}


def _grow(host: Host, path: Path, metadata: VolumeMetadata, arguments: GrowDisk, control: Control) -> None:
    kind, parent, wanted = image_format(metadata), parent_of(metadata), arguments.capacity_bytes
    before = read_image_info(path, kind, parent).virtual_bytes
    if wanted < before:
        raise OperationError(f"the volume has {before} bytes; disks never shrink", "observe and plan anew")
    if wanted == before:
        return
    if arguments.vm is not None:
        grow_through_guest(host, arguments.vm, path, wanted)
        return
    resize_image(
        path,
        kind,
        wanted,
        control.remaining_ms(),
        parent,
        preallocated=metadata.allocation == "PREALLOCATED",
        cancelled=control.cancelled,
    )


def _difference(host: Host, arguments: GrowDisk) -> str | None:
    place = host.storage.answering_place(arguments.storage_domain)
    metadata = read_volume_metadata(place, arguments.image, arguments.volume)
    if metadata is None:
        return "the volume is gone"
    path = host.storage.volume_path(arguments.storage_domain, arguments.image, arguments.volume)
    info = read_image_info(path, image_format(metadata), parent_of(metadata))
    if info.virtual_bytes == metadata.capacity_bytes == arguments.capacity_bytes:
        return None
    return f"the volume has {info.virtual_bytes} bytes, and {metadata.capacity_bytes} by its metadata"


OPERATION: Operation[GrowDisk] = Operation(
    kind="grow-disk",
    check=_objection,
    run=_run,
    verify=_difference,
    recover=lambda host, arguments, _control: _difference(host, arguments) is None,
    locks=lambda arguments: (f"disk/{arguments.image}",),
)
