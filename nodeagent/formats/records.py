"""Records on storage as a sequence of revisions, each committed by exclusive creation: no write is ever lost.

A record's directory holds `ostler.json` and `ostler.json.<revision>` of the newest revision (two names of one
file). Creating the numbered name is the commit, so of two writers of one revision one wins, on any file system
with hard links and whatever crashes; `ostler.json` follows by rename. Readers take the highest revision.
VM, disk and pool records beside this module build upon it.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from nodeagent.formats.files import (
    LEFTOVER_PREFIX,
    RECORD_LIMIT_BYTES,
    link_new,
    read_file,
    remove_leftovers,
    remove_quietly,
    write_new,
)
from nodeagent.operations.contract import OperationError
from nodeagent.wire.codec import ContractError, decode, decode_strict, encode
from nodeagent.wire.records import DiskRecord, PoolRecord, VmRecord
from nodeagent.wire.version import MAJOR, Format

NAME = "ostler.json"
_REVISION = re.compile(r"ostler\.json\.([1-9][0-9]{0,9})", re.ASCII)
_RUN = re.compile(r"run\.([1-9][0-9]{0,9})", re.ASCII)
_ATTEMPTS = 100
_ENTRIES_LIMIT = 4096

R = TypeVar("R", VmRecord, DiskRecord, PoolRecord)
T = TypeVar("T")


class RecordError(OperationError):
    """A record cannot be read or written, or is damaged: nothing is known about what it would say."""


class RecordConflictError(RecordError):
    """A record was not written because another revision than expected is on storage."""


@contextmanager
def explaining(subject: str) -> Iterator[None]:
    """Turns what goes wrong in the block into a RecordError (of the same class) that begins with `subject`."""
    try:
        yield
    except RecordError as error:
        raise type(error)(f"{subject} {error.summary}", error.action, settled=error.settled) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise RecordError(
            f"{subject} cannot be reached: {reason}", "see to the storage domain, then try again"
        ) from error


@dataclass(frozen=True, slots=True)
class Listing:
    """What a record's directory holds: numbers in ascending order. leftovers: new files of writers, alive or dead."""

    revisions: tuple[int, ...]
    runs: tuple[int, ...]
    plain: bool
    leftovers: tuple[str, ...] = field(default=(), compare=False)

    @property
    def empty(self) -> bool:
        """Whether no record was ever committed here."""
        return not (self.revisions or self.runs or self.plain)


@dataclass(frozen=True, slots=True)
class _Header:
    """The part of a record that every version of the format has."""

    format: Format


def list_record(directory: int) -> Listing:
    """The names in a record's directory. Raises OSError, and RecordError for more than 4096 entries."""
    revisions, runs, leftovers, plain = [], [], [], False
    with os.scandir(directory) as entries:
        for count, entry in enumerate(entries):
            if count >= _ENTRIES_LIMIT:
                raise RecordError(f"a record's directory has more than {_ENTRIES_LIMIT} entries")
            if entry.name == NAME:
                plain = True
            elif match := _REVISION.fullmatch(entry.name):
                revisions.append(int(match[1]))
            elif match := _RUN.fullmatch(entry.name):
                runs.append(int(match[1]))
            elif entry.name.startswith(LEFTOVER_PREFIX):
                leftovers.append(entry.name)
    return Listing(tuple(sorted(revisions)), tuple(sorted(runs)), plain, tuple(leftovers))


def read_stable(directory: int, read: Callable[[int, Listing], T]) -> T:
    """What `read` makes of a listing that did not change meanwhile. Raises OSError or RecordError."""
    listing = list_record(directory)
    for _ in range(_ATTEMPTS):
        results: list[T] = []
        with suppress(FileNotFoundError):  # a newer revision replaced a file after the listing
            results.append(read(directory, listing))
        again = list_record(directory)
        if again == listing and results:
            return results[0]
        listing = again
    raise RecordError("the record changes faster than it can be read", "try again")


def parse_record(content: bytes, kind: type[R]) -> R:
    """Bytes of a record file as a record, strictly. Raises RecordError."""
    return parse_document(content, kind)


def parse_document(content: bytes, kind: type[T]) -> T:
    """Bytes as a value of `kind` of this major format; unknown fields are refused. Raises RecordError."""
    try:
        major = decode(content, _Header).format.major
        if major != MAJOR:
            raise RecordError(
                f"has format {major}, and this agent reads format {MAJOR}", "install an agent that knows it"
            )
        return decode_strict(content, kind)
    except ContractError as error:
        raise RecordError(f"is damaged: {error}", "restore it from its copy or a backup") from error


def read_newest(directory: int, listing: Listing, kind: type[R]) -> R | None:
    """The record of the highest revision that is listed. Raises OSError or RecordError."""
    numbered = _read_numbered(directory, listing.revisions[-1], kind) if listing.revisions else None
    if not listing.plain or (listing.revisions and _same_file(directory, listing.revisions[-1])):
        return numbered
    plain = parse_record(read_file(directory, NAME), kind)
    return plain if numbered is None or plain.revision > numbered.revision else numbered


def _read_numbered(directory: int, revision: int, kind: type[R]) -> R:
    record = parse_record(read_file(directory, f"{NAME}.{revision}"), kind)
    if record.revision != revision:
        raise RecordError(f"is damaged: revision {record.revision} under the name of {revision}")
    return record


def _same_file(directory: int, revision: int) -> bool:
    plain = os.stat(NAME, dir_fd=directory, follow_symlinks=False)
    numbered = os.stat(f"{NAME}.{revision}", dir_fd=directory, follow_symlinks=False)
    return (plain.st_dev, plain.st_ino) == (numbered.st_dev, numbered.st_ino)


def commit_record(directory: int, record: R) -> None:
    """Make `record` the newest revision, durably. Raises OSError, and RecordConflictError if it would not be.

    The caller has read the revision below it and made `record` from that.
    """
    content = encode(record)
    if len(content) > RECORD_LIMIT_BYTES:
        raise RecordError(f"the record is larger than {RECORD_LIMIT_BYTES} bytes")
    new = write_new(directory, content)
    try:
        _commit(directory, new, record.revision)
    finally:
        remove_quietly(directory, new)


def _commit(directory: int, new: str, revision: int) -> None:
    numbered = f"{NAME}.{revision}"
    if not link_new(directory, new, numbered):
        raise RecordConflictError(f"has revision {revision} by another writer", "read the record again")
    listing = read_stable(directory, lambda _directory, listing: listing)
    newest = max(listing.revisions, default=0)
    if newest != revision:
        # Either ours was made from a revision long gone, whose successor's name had become free again, or
        # another writer has already built upon ours. The name is not needed in both cases.
        remove_quietly(directory, numbered)
        raise RecordConflictError(
            f"has revision {newest} by another writer, and {revision} may be part of it",
            "read the record again",
            settled=False,
        )
    os.rename(new, NAME, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)
    for older in listing.revisions:
        if older < revision:
            remove_quietly(directory, f"{NAME}.{older}")
    remove_leftovers(directory, listing.leftovers, numbered)
