"""The pool's record on the master domain: host ids, domains, and what other kinds have to keep.

The operation `write-pool-record` writes it; the facts of storage read it.
"""

from pathlib import Path

from nodeagent.formats.files import open_directory
from nodeagent.formats.records import (
    RecordConflictError,
    RecordError,
    commit_record,
    explaining,
    read_newest,
    read_stable,
)
from nodeagent.wire.records import PoolRecord

__all__ = ["RecordConflictError", "RecordError", "read_pool_record", "write_pool_record"]


def read_pool_record(place: Path) -> PoolRecord | None:
    """The pool's record; None only if it surely does not exist. Raises RecordError if it cannot be read."""
    with explaining(_subject(place)), open_directory(place, "master") as directory:
        return read_stable(directory, lambda handle, listing: read_newest(handle, listing, PoolRecord))


def write_pool_record(place: Path, record: PoolRecord) -> None:
    """Make `record` the next revision; does nothing where it is already there.

    Raises RecordConflictError if its revision is not one above what is there, or it speaks of another data
    center; RecordError if storage fails.
    """
    current = read_pool_record(place)
    if current == record:
        return
    there = current.revision if current else 0
    if record.revision != there + 1:
        raise RecordConflictError(
            f"{_subject(place)} has revision {there}, so revision {record.revision} cannot follow",
            "plan anew from the record as it is",
        )
    if current is not None and current.data_center != record.data_center:
        raise RecordConflictError(f"{_subject(place)} belongs to data center {current.data_center}")
    with explaining(_subject(place)), open_directory(place, "master") as directory:
        commit_record(directory, record)


def _subject(place: Path) -> str:
    return f"the record of the pool on {place}"
