"""Disk records: what is decided once about a disk, kept beside its bytes on the same storage domain.

The operations on disks write them; the facts of storage read them.
"""

from pathlib import Path

from nodeagent.formats.files import ensure_directory, open_directory, open_inner
from nodeagent.formats.records import (
    Listing,
    RecordConflictError,
    RecordError,
    commit_record,
    explaining,
    read_newest,
    read_stable,
)
from nodeagent.wire.records import DiskRecord

__all__ = ["RecordConflictError", "RecordError", "parse_disk", "read_disk_record", "write_disk_record"]


def read_disk_record(place: Path, image: str) -> DiskRecord | None:
    """A disk's record; None only if it surely does not exist.

    Raises RecordError if the domain or the record cannot be read, or the record is damaged.
    """
    with explaining(_subject(place, image)), open_directory(place, "master", "disks") as disks:
        try:
            with open_inner(disks, image) as directory:
                return read_stable(directory, lambda handle, listing: parse_disk(handle, listing, image))
        except FileNotFoundError:
            return None


def parse_disk(directory: int, listing: Listing, image: str) -> DiskRecord | None:
    """The record in an open directory with this listing. Raises OSError or RecordError."""
    record = read_newest(directory, listing, DiskRecord)
    if record is not None and record.image != image:
        raise RecordError(f"is damaged: it speaks of disk image {record.image}")
    return record


def write_disk_record(place: Path, record: DiskRecord) -> None:
    """Make `record` the next revision; does nothing where it is already there.

    Raises RecordConflictError if its revision is not one above what is there, RecordError if storage fails.
    """
    current = read_disk_record(place, record.image)
    if current == record:
        return
    there = current.revision if current else 0
    if record.revision != there + 1:
        raise RecordConflictError(
            f"{_subject(place, record.image)} has revision {there}, so revision {record.revision} cannot follow",
            "plan anew from the record as it is",
        )
    with explaining(_subject(place, record.image)), open_directory(place, "master", "disks") as disks:
        ensure_directory(disks, record.image)
        with open_inner(disks, record.image) as directory:
            commit_record(directory, record)


def _subject(place: Path, image: str) -> str:
    return f"the record of disk image {image} on {place}"
