"""The files of one VM's record on one storage domain: its revisions, and the claims of its runs.

`vmrecords` decides what may be written; this module says what is there, and writes it. The facts of storage
read with it as well.
"""

import logging
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nodeagent.formats.files import (
    ensure_directory,
    link_new,
    open_directory,
    open_inner,
    read_file,
    remove_quietly,
    write_new,
)
from nodeagent.formats.records import (
    Listing,
    RecordConflictError,
    RecordError,
    commit_record,
    explaining,
    list_record,
    parse_document,
    read_newest,
    read_stable,
)
from nodeagent.wire.codec import encode
from nodeagent.wire.records import Run, RunHost, VmRecord
from nodeagent.wire.types import Count, Text
from nodeagent.wire.version import CURRENT, Format

_LOG = logging.getLogger(__name__)


class RunClaimError(RecordError):
    """A run was not claimed, settled or closed: the record's last run does not allow it, or another was quicker."""


@dataclass(frozen=True, slots=True)
class RunFile:
    """What `run.<number>` holds: the hosts on which this run may be alive, and the key of the order that claimed it."""

    number: Count
    hosts: tuple[RunHost, ...]
    lease: bool
    key: Text
    format: Format = CURRENT


def read_vm_record(place: Path, vm: str) -> VmRecord | None:
    """A VM's record on one storage domain, its run the newest known there; None only if it surely does not exist.

    Raises RecordError if the domain or the record cannot be read, or the record is damaged.
    """
    with explaining(f"the record of VM {vm} on {place}"), open_directory(place, "master", "vms") as vms:
        try:
            with open_inner(vms, vm) as directory:
                return read_stable(directory, lambda handle, listing: parse_vm(handle, listing, vm))
        except FileNotFoundError:
            return None


def parse_vm(directory: int, listing: Listing, vm: str) -> VmRecord | None:
    """The record in an open directory with this listing. Raises OSError or RecordError."""
    record = read_newest(directory, listing, VmRecord)
    if record is None:
        if listing.runs:
            raise RecordError("is lost: a run was claimed, and no revision of the record is there")
        return None
    if record.uuid != vm:
        raise RecordError(f"is damaged: it speaks of VM {record.uuid}")
    known = record.run.number if record.run else 0
    if listing.runs and listing.runs[-1] > known:
        return replace(record, run=_read_run(directory, listing.runs[-1]))
    return record


def _read_run(directory: int, number: int) -> Run:
    run = parse_document(read_file(directory, f"run.{number}"), RunFile)
    if run.number != number:
        raise RecordError(f"is damaged: run {run.number} under the name of {number}")
    return Run(number=number, hosts=run.hosts, lease=run.lease)


def create_run(place: Path, vm: str, claim: RunFile) -> None:
    """Create `run.<number>` exclusively and durably. Raises RunClaimError if it is there, else RecordError."""
    name = f"run.{claim.number}"
    with (
        explaining(f"the record of VM {vm} on {place}"),
        open_directory(place, "master", "vms", vm) as handle,
    ):
        new = write_new(handle, encode(claim))
        try:
            if not link_new(handle, new, name):
                raise RunClaimError(f"has run {claim.number} already: somebody else has claimed it")
        finally:
            remove_quietly(handle, new)
        try:
            os.fsync(handle)
        except OSError:
            remove_quietly(handle, name)
            raise


def withdraw_run(place: Path, vm: str, number: int) -> None:
    """Give back a run number that this process has claimed and started nothing with."""
    try:
        with open_directory(place, "master", "vms", vm) as directory:
            os.unlink(f"run.{number}", dir_fd=directory)
            os.fsync(directory)
    except OSError as error:
        _LOG.warning("run %d of VM %s on %s stays open: %s", number, vm, place, error)


def forget_runs(place: Path, vm: str, closed: int) -> None:
    """Remove claims below a closed run; its own stays, so that a late claimer of a lower number is found out."""
    try:
        with open_directory(place, "master", "vms", vm) as directory:
            for number in list_record(directory).runs:
                if number < closed:
                    remove_quietly(directory, f"run.{number}")
    except (OSError, RecordError) as error:
        _LOG.warning("old runs of VM %s stay on %s: %s", vm, place, error)


def commit_vm(place: Path, record: VmRecord) -> None:
    """Make `record` the next revision on one domain. Raises RecordError, RecordConflictError if it does not follow."""
    subject = f"the record of VM {record.uuid} on {place}"
    with explaining(subject), open_directory(place, "master", "vms") as vms:
        ensure_directory(vms, record.uuid)
        with open_inner(vms, record.uuid) as directory:
            commit_record(directory, record)


def mirror_vm(copy: Path, record: VmRecord) -> None:
    """Bring the copy up to `record`; one that is as new, or newer by another writer, stays. Raises RecordError."""
    subject = f"the copy of the record of VM {record.uuid} on {copy}"
    with explaining(subject), open_directory(copy, "master", "vms") as vms:
        ensure_directory(vms, record.uuid)
        with open_inner(vms, record.uuid) as directory:
            while _newest_revision(directory) < record.revision:
                with suppress(RecordConflictError):  # then somebody else has brought it further
                    commit_record(directory, record)


def _newest_revision(directory: int) -> int:
    record = read_stable(directory, lambda handle, listing: read_newest(handle, listing, VmRecord))
    return record.revision if record else 0
