"""All that one storage domain holds, as this host reads it: records, volumes, and what of it cannot be read.

Answers `GET /v1/storage/{uuid}`. The states of domains come from `StorageDomains.facts`, which touches no storage.
"""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeVar

from nodeagent.facts.storagecache import DirectoryCache
from nodeagent.formats.diskrecords import parse_disk
from nodeagent.formats.domainlayout import ISO_IMAGE, REMOVED_PREFIX
from nodeagent.formats.files import list_names, open_directory, read_file
from nodeagent.formats.keptstate import Shelf, firmware_shelf, list_shelf
from nodeagent.formats.metadata import MetadataError
from nodeagent.formats.poolrecord import read_pool_record
from nodeagent.formats.records import NAME, Listing, RecordError, read_stable
from nodeagent.formats.vmrecordfiles import parse_vm
from nodeagent.formats.volumemetadata import (
    READ_LIMIT_BYTES,
    VolumeMetadata,
    decode_volume_metadata,
)
from nodeagent.storage import StorageDomains, StorageError
from nodeagent.wire.facts import StorageContents, StorageDomainFacts
from nodeagent.wire.records import DiskRecord, PoolRecord, VmRecord, VolumeFacts
from nodeagent.wire.types import UUID_PATTERN

WAIT_S = 20.0
_UUID = re.compile(UUID_PATTERN)
_META = ".meta"
T = TypeVar("T")
_Volumes = tuple[tuple[str, VolumeMetadata], ...]


@dataclass(slots=True)
class DomainCache:
    """What was read from one domain before. busy: held by the one reader at a time."""

    vms: DirectoryCache[VmRecord | None] = field(default_factory=DirectoryCache)
    disks: DirectoryCache[DiskRecord | None] = field(default_factory=DirectoryCache)
    images: DirectoryCache[_Volumes] = field(default_factory=DirectoryCache)
    busy: Lock = field(default_factory=Lock)


@dataclass(slots=True)
class _Gaps:
    """What could not be read: whole directories, or single entries of them."""

    complete: bool = True
    names: set[str] = field(default_factory=set)


class StorageReader:
    """Reads connected domains, each by one thread at a time. Safe to use from several threads."""

    def __init__(self, storage: StorageDomains) -> None:
        self._storage = storage
        self._caches: dict[str, DomainCache] = {}
        self._lock = Lock()

    def read(self, uuid: str) -> StorageContents | None:
        """Everything in a domain; None if it is not connected to this host.

        Raises StorageError if it does not answer, or an earlier reading has not come back yet.
        """
        if uuid not in self._storage.connected():
            return None
        place = self._storage.answering_place(uuid)
        with self._lock:
            cache = self._caches.setdefault(uuid, DomainCache())
        if not cache.busy.acquire(timeout=WAIT_S):
            raise StorageError(f"storage domain {uuid} is slow: reading it takes more than {WAIT_S:.0f} s")
        try:
            facts = next((facts for facts in self._storage.facts() if facts.uuid == uuid), None)
            return read_contents(place, uuid, facts, cache)
        finally:
            cache.busy.release()


def read_contents(
    place: Path, uuid: str, facts: StorageDomainFacts | None, cache: DomainCache
) -> StorageContents:
    """Everything in the domain at `place`, with the role and sizes that `facts` say. Never raises: what cannot be
    read is named, or makes the contents incomplete.
    """
    vm_gaps, disk_gaps, image_gaps = _Gaps(), _Gaps(), _Gaps()
    vms = _read_all(place, ("master", "vms"), cache.vms, _load_vm, vm_gaps)
    disks = _read_all(place, ("master", "disks"), cache.disks, _load_disk, disk_gaps)
    volumes = _read_volumes(place, cache, image_gaps)
    pool, pool_known = _read_pool(place)
    kept, set_aside = list_kept(firmware_shelf(place))
    gaps = (vm_gaps, disk_gaps, image_gaps)
    return StorageContents(
        uuid=uuid,
        master=facts is not None and facts.master,
        complete=pool_known and all(gap.complete for gap in gaps),
        pool=pool,
        vms=tuple(record for _, record in vms if record is not None),
        disks=tuple(record for _, record in disks if record is not None),
        volumes=volumes,
        unreadable=tuple(sorted(vm_gaps.names)),
        unreadable_disks=tuple(sorted(disk_gaps.names | image_gaps.names)),
        kept=kept,
        set_aside=set_aside,
        total_bytes=facts.total_bytes if facts else 0,
        free_bytes=facts.free_bytes if facts else 0,
        isos=_list_isos(place),
    )


def list_kept(shelf: Shelf) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which VMs keep something there, and of which it is set aside; nothing where that cannot be read: it is no
    evidence of anything, and is looked at again.
    """
    try:
        return list_shelf(shelf)
    except OSError:
        return (), ()


def _list_isos(place: Path) -> tuple[str, ...] | None:
    """Names of the CD images, sorted; None if they cannot be listed. A domain from elsewhere may have no place for them."""
    try:
        with open_directory(place, "images", ISO_IMAGE) as directory:
            return tuple(sorted(name for name in list_names(directory) if _is_file(directory, name)))
    except FileNotFoundError:
        return ()
    except OSError:
        return None


def _is_file(directory: int, name: str) -> bool:
    return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


def _read_pool(place: Path) -> tuple[PoolRecord | None, bool]:
    try:
        return read_pool_record(place), True
    except RecordError:
        return None, False


def _read_all(
    place: Path,
    parts: tuple[str, ...],
    cache: DirectoryCache[T],
    load: Callable[[str, int], tuple[T, tuple[str, ...]]],
    gaps: _Gaps,
    wanted: Callable[[str], bool] = lambda name: _UUID.fullmatch(name) is not None,
) -> list[tuple[str, T]]:
    """The values of all directories below `parts`, by name."""
    values = []
    try:
        with open_directory(place, *parts) as parent:
            names = {name for name in list_names(parent) if wanted(name)}
            cache.keep_only(names)
            for name in sorted(names):
                try:
                    values.append((name, cache.get(parent, name, partial(load, name))))
                except FileNotFoundError:
                    continue  # removed since the listing
                except (OSError, RecordError, MetadataError):
                    gaps.names.add(name.removeprefix(REMOVED_PREFIX))
    except OSError:
        gaps.complete = False
    return values


def _load_vm(name: str, directory: int) -> tuple[VmRecord | None, tuple[str, ...]]:
    return read_stable(
        directory, lambda handle, listing: (parse_vm(handle, listing, name), _newest_files(listing))
    )


def _load_disk(name: str, directory: int) -> tuple[DiskRecord | None, tuple[str, ...]]:
    return read_stable(
        directory, lambda handle, listing: (parse_disk(handle, listing, name), _newest_files(listing))
    )


def _newest_files(listing: Listing) -> tuple[str, ...]:
    """The files that decide what a record says."""
    plain = (NAME,) if listing.plain else ()
    revision = (f"{NAME}.{listing.revisions[-1]}",) if listing.revisions else ()
    run = (f"run.{listing.runs[-1]}",) if listing.runs else ()
    return (*plain, *revision, *run)


def _read_volumes(place: Path, cache: DomainCache, gaps: _Gaps) -> tuple[VolumeFacts, ...]:
    found = _read_all(place, ("images",), cache.images, _load_image, gaps, _is_image)
    volumes: list[VolumeFacts] = []
    try:
        with open_directory(place, "images") as images:
            for name, metadata in found:
                volumes += [_describe_volume(images, name, volume, known) for volume, known in metadata]
    except OSError:
        gaps.complete = False
    return tuple(volumes)


def _is_image(name: str) -> bool:
    uuid = name.removeprefix(REMOVED_PREFIX)
    return uuid != ISO_IMAGE and _UUID.fullmatch(uuid) is not None


def _load_image(_name: str, directory: int) -> tuple[_Volumes, tuple[str, ...]]:
    files = sorted(name for name in list_names(directory) if name.endswith(_META))
    volumes = []
    for file in files:
        volume = file.removesuffix(_META)
        if _UUID.fullmatch(volume):
            volumes.append((volume, decode_volume_metadata(read_file(directory, file, READ_LIMIT_BYTES))))
    return tuple(volumes), tuple(files)


def _describe_volume(images: int, name: str, volume: str, metadata: VolumeMetadata) -> VolumeFacts:
    try:
        actual = os.stat(f"{name}/{volume}", dir_fd=images, follow_symlinks=False).st_blocks * 512
    except OSError:
        actual = None
    return VolumeFacts(
        image=name.removeprefix(REMOVED_PREFIX),
        volume=volume,
        format="raw" if metadata.format == "RAW" else "qcow2",
        allocation="preallocated" if metadata.allocation == "PREALLOCATED" else "thin",
        capacity_bytes=metadata.capacity_bytes,
        actual_bytes=actual or 0,
        legal=actual is not None and metadata.legality == "LEGAL",
        removed=name.startswith(REMOVED_PREFIX),
        description=metadata.description,
    )
