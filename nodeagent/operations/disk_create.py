"""create-disk: image, volume, metadata and record. Illegal until all is there; a repeat completes what was half made.

The volume is made under another name and linked to its own when it is whole, so that nothing that has its name is
ever made anew.
"""

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nodeagent.clock import wallclock_ms
from nodeagent.drivers.qemuimg import create_image, read_image_info
from nodeagent.formats.diskrecords import write_disk_record
from nodeagent.formats.files import (
    FILE_MODE,
    ensure_directory,
    ensure_file,
    give_to_owner,
    link_new,
    open_directory,
    remove_quietly,
)
from nodeagent.formats.metadata import one_line
from nodeagent.formats.volumemetadata import (
    DESCRIPTION_LIMIT_BYTES,
    LARGEST_CAPACITY,
    VolumeMetadata,
    read_volume_metadata,
    write_volume_metadata,
)
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.disk_images import GRANULARITY_BYTES, Image, find_image, refuse
from nodeagent.operations.record_places import is_same, stamp
from nodeagent.wire.arguments import CreateDisk
from nodeagent.wire.records import DiskRecord

_OVERHEAD_BYTES = 64 * 1024 * 1024


def _objection(host: Host, arguments: CreateDisk) -> str | None:
    record = arguments.record
    if record.storage_domain != arguments.storage_domain or record.removed:
        return "the record speaks of another storage domain, or of a removed disk"
    if (
        not 0 < arguments.capacity_bytes <= LARGEST_CAPACITY // 2
        or arguments.capacity_bytes % GRANULARITY_BYTES
    ):
        return (
            f"{arguments.capacity_bytes} bytes are no size of a disk: whole {GRANULARITY_BYTES}, at least one"
        )
    image = find_image(host, arguments.storage_domain, record.image)
    return (
        _objection_to_record(image, record)
        or _objection_to_files(image, arguments)
        or _objection_to_space(host, arguments)
    )


def _objection_to_record(image: Image, record: DiskRecord) -> str | None:
    """There is none yet, or this very one, or its forerunner from a creation that died."""
    before = image.record
    if before is None:
        return None if record.revision == 1 else "the first revision of a record is 1"
    if is_same(before, record):
        return None
    same = (before.object, before.volume, before.data_center) == (
        record.object,
        record.volume,
        record.data_center,
    )
    if not same or before.removed or record.revision != before.revision + 1:
        return (
            f"disk image {record.image} has a record already: revision {before.revision}, of {before.object}"
        )
    metadata = read_volume_metadata(image.place, image.uuid, record.volume)
    whole = metadata is not None and metadata.legality == "LEGAL"
    return f"disk image {record.image} exists and is whole" if whole else None


def _objection_to_files(image: Image, arguments: CreateDisk) -> str | None:
    """What is there may be nothing, or this very disk, half made or whole."""
    volume = arguments.record.volume
    if image.removed_name in image.names():
        return f"a removed disk has the image {image.uuid}; restore or purge it"
    metadata = read_volume_metadata(image.place, image.uuid, volume)
    ours = {volume, f"{volume}.meta", f"{volume}.lease"}
    strangers = {name for name in image.files(image.uuid) - ours if not name.startswith(".ostler-new-")}
    if strangers:
        return f"disk image {image.uuid} holds {min(strangers)}"
    if metadata is None:
        return f"disk image {image.uuid} holds a volume without metadata" if _is_made(image, volume) else None
    if metadata.legality == "LEGAL" and image.record is None:
        return f"disk image {image.uuid} exists, and Ostler has no record of it; adopt it instead"
    return None


def _objection_to_space(host: Host, arguments: CreateDisk) -> str | None:
    free = next(f.free_bytes for f in host.storage.facts() if f.uuid == arguments.storage_domain)
    needed = arguments.capacity_bytes if arguments.allocation == "preallocated" else 0
    if free < needed + _OVERHEAD_BYTES and not _is_done(host, arguments):
        return f"the storage domain has {free} bytes free, and the disk needs {needed + _OVERHEAD_BYTES}"
    return None


def _wanted(arguments: CreateDisk) -> VolumeMetadata:
    return VolumeMetadata(
        domain=arguments.storage_domain,
        image=arguments.record.image,
        capacity_bytes=arguments.capacity_bytes,
        format="RAW" if arguments.format == "raw" else "COW",
        allocation="PREALLOCATED" if arguments.allocation == "preallocated" else "SPARSE",
        ctime_s=wallclock_ms() // 1000,
        legality="ILLEGAL",
        description=one_line(arguments.description, DESCRIPTION_LIMIT_BYTES),
    )


def _run(host: Host, arguments: CreateDisk, control: Control) -> dict[str, Any]:
    refuse(_objection(host, arguments))
    if _is_done(host, arguments):
        return {}
    image = find_image(host, arguments.storage_domain, arguments.record.image)
    try:
        _make(host, image, arguments, control)
    except OperationError:
        _clear_away(host, image, arguments.record.volume)
        raise
    if not is_same(image.record, arguments.record):
        write_disk_record(image.place, stamp(arguments.record, control.key))
    _make_legal(image, arguments.record.volume)
    return {}


def _draft(host: Host, volume: str) -> str:
    """The name under which this host makes a volume: another host that makes the same one has a file of its own."""
    return f".ostler-new-{host.uuid}-{volume}"


def _make(host: Host, image: Image, arguments: CreateDisk, control: Control) -> None:
    """Everything but the record; the metadata says ILLEGAL."""
    volume, metadata = arguments.record.volume, _wanted(arguments)
    draft = _draft(host, volume)
    try:
        with open_directory(image.place, "images") as images:
            ensure_directory(images, image.uuid)
        if _is_made(image, volume):
            _refuse_other_size(image, arguments)
            return
        write_volume_metadata(image.place, image.uuid, volume, metadata)
        with open_directory(image.place, "images", image.uuid) as directory:
            ensure_file(directory, f"{volume}.lease")
            remove_quietly(directory, draft)
            create_image(
                image.directory / draft,
                arguments.format,
                arguments.capacity_bytes,
                arguments.allocation == "preallocated",
                control.remaining_ms(),
                control.cancelled,
            )
            _give_name(directory, draft, volume)
    except OSError as error:
        raise OperationError(
            f"disk image {image.uuid} cannot be made: {error.strerror or error}", "see to the storage domain"
        ) from error


def _is_made(image: Image, volume: str) -> bool:
    return volume in image.files(image.uuid)


def _refuse_other_size(image: Image, arguments: CreateDisk) -> None:
    info = read_image_info(image.directory / arguments.record.volume, arguments.format)
    if info.virtual_bytes != arguments.capacity_bytes:
        raise OperationError(
            f"a half-made volume of {info.virtual_bytes} bytes has the name {image.uuid}/{arguments.record.volume}",
            f"remove {image.directory} by hand if nobody knows it",
        )


def _give_name(directory: int, made: str, name: str) -> None:
    """The whole volume gets its own name, durably and only if that is free."""
    handle = os.open(made, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fchmod(handle, FILE_MODE)
        give_to_owner(handle)
        os.fsync(handle)
    finally:
        os.close(handle)
    if not link_new(directory, made, name):
        raise OperationError(f"somebody else has made {name} meanwhile", "observe and plan anew")
    remove_quietly(directory, made)
    os.fsync(directory)


def _make_legal(image: Image, volume: str) -> None:
    metadata = read_volume_metadata(image.place, image.uuid, volume)
    if metadata is None:
        raise OperationError(f"the metadata of {image.uuid}/{volume} is gone", "observe and plan anew")
    write_volume_metadata(image.place, image.uuid, volume, replace(metadata, legality="LEGAL"))


def _clear_away(host: Host, image: Image, volume: str) -> None:
    """After a failure: leave nothing, unless the volume itself is there."""
    with suppress(OSError, OperationError), open_directory(image.place, "images", image.uuid) as directory:
        remove_quietly(directory, _draft(host, volume))
        if not _is_made(image, volume):
            for name in (f"{volume}.lease", f"{volume}.meta"):
                remove_quietly(directory, name)
            image.directory.rmdir()


def _difference(host: Host, arguments: CreateDisk) -> str | None:
    record = arguments.record
    image = find_image(host, arguments.storage_domain, record.image)
    if not is_same(image.record, record):
        return "the disk has no record, or another one"
    metadata = read_volume_metadata(image.place, image.uuid, record.volume)
    if metadata is None or metadata.legality != "LEGAL":
        return "the volume is not legal"
    info = read_image_info(image.directory / record.volume, arguments.format)
    if metadata.capacity_bytes != arguments.capacity_bytes or info.virtual_bytes != arguments.capacity_bytes:
        return f"the volume has {info.virtual_bytes} bytes"
    return None


def _is_done(host: Host, arguments: CreateDisk) -> bool:
    return _difference(host, arguments) is None


OPERATION: Operation[CreateDisk] = Operation(
    kind="create-disk",
    check=_objection,
    run=_run,
    verify=_difference,
    recover=lambda host, arguments, _control: _is_done(host, arguments),
    locks=lambda arguments: (f"disk/{arguments.record.image}",),
)
