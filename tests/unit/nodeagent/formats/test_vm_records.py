"""A VM's record: read strictly, replaced only by its next revision, never confused by what lies around it."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.formats.vmrecords import (
    RecordConflictError,
    RecordError,
    read_vm_record,
    write_vm_record,
)
from nodeagent.wire.codec import encode
from nodeagent.wire.records import Run, RunHost, VmRecord

Following = Callable[..., VmRecord]


def directory(place: Path, record: VmRecord) -> Path:
    return place / "master" / "vms" / record.uuid


def test_a_record_that_was_never_written_is_known_not_to_exist(place: Path, record: VmRecord) -> None:
    assert read_vm_record(place, record.uuid) is None


def test_a_directory_made_by_a_writer_that_died_is_no_record(place: Path, record: VmRecord) -> None:
    directory(place, record).mkdir()
    (directory(place, record) / ".ostler-new-1-abc").write_bytes(b"{")

    assert read_vm_record(place, record.uuid) is None


def test_a_place_that_is_no_domain_tells_nothing_about_records(tmp_path: Path, record: VmRecord) -> None:
    with pytest.raises(RecordError, match="cannot be reached"):
        read_vm_record(tmp_path / "not-mounted", record.uuid)
    with pytest.raises(RecordError, match="cannot be reached"):
        read_vm_record(tmp_path, record.uuid)


def test_what_was_written_is_read_back_from_master_and_copy(
    place: Path, copy: Path, record: VmRecord
) -> None:
    write_vm_record(place, copy, record)

    assert read_vm_record(place, record.uuid) == record
    assert read_vm_record(copy, record.uuid) == record


def test_the_record_is_plain_json_under_its_own_name(place: Path, record: VmRecord) -> None:
    write_vm_record(place, None, record)

    assert json.loads((directory(place, record) / "ostler.json").read_text())["object"] == "vm/web-1"


def test_only_the_newest_revision_is_kept(place: Path, record: VmRecord, following: Following) -> None:
    for _ in range(4):
        write_vm_record(place, None, record)
        record = following(record)

    names = sorted(entry.name for entry in directory(place, record).iterdir())
    assert names == ["ostler.json", "ostler.json.4"]


@pytest.mark.parametrize("revision", [0, 1, 3, 7])
def test_a_revision_that_does_not_follow_is_refused(place: Path, record: VmRecord, revision: int) -> None:
    write_vm_record(place, None, record)
    other = replace(record, revision=revision, cpu_model="max")

    with pytest.raises(RecordConflictError):
        write_vm_record(place, None, other)
    assert read_vm_record(place, record.uuid) == record


def test_the_first_revision_is_one(place: Path, record: VmRecord) -> None:
    with pytest.raises(RecordConflictError):
        write_vm_record(place, None, replace(record, revision=2))


def test_writing_the_same_record_again_changes_nothing_and_completes_the_copy(
    place: Path, copy: Path, record: VmRecord
) -> None:
    write_vm_record(place, None, record)
    write_vm_record(place, copy, record)

    assert read_vm_record(copy, record.uuid) == record


def test_the_higher_revision_wins_and_the_next_write_brings_both_up(
    place: Path, copy: Path, record: VmRecord, following: Following
) -> None:
    write_vm_record(place, copy, record)
    write_vm_record(copy, None, following(record))
    write_vm_record(place, copy, following(following(record)))

    assert read_vm_record(place, record.uuid) == read_vm_record(copy, record.uuid)
    with pytest.raises(RecordConflictError):
        write_vm_record(place, copy, following(following(record), cpu_model="max"))


def test_a_write_cannot_close_narrow_or_forget_a_run(
    place: Path, record: VmRecord, following: Following, hosts: tuple[RunHost, ...]
) -> None:
    running = replace(record, run=Run(number=1, hosts=hosts[:2]))
    write_vm_record(place, None, running)

    for run in (
        None,
        Run(number=1, hosts=hosts[:1]),
        Run(number=1, hosts=hosts[:2], closed="shutdown"),
        Run(number=2, hosts=hosts[:2]),
    ):
        with pytest.raises(RecordConflictError, match="last run"):
            write_vm_record(place, None, following(running, run=run))


def test_a_write_can_record_that_a_stopped_vm_was_found_running(
    place: Path, record: VmRecord, following: Following, open_run: Run
) -> None:
    write_vm_record(place, None, record)
    found = following(record, run=open_run)
    write_vm_record(place, None, found)

    assert read_vm_record(place, record.uuid) == found
    assert (directory(place, record) / "run.1").exists()


def test_a_claimed_run_counts_although_the_record_does_not_show_it(
    place: Path, record: VmRecord, following: Following, open_run: Run
) -> None:
    write_vm_record(place, None, record)
    write_vm_record(place, None, following(record, run=open_run))
    kept = directory(place, record) / "run.1"
    for name in ("ostler.json", "ostler.json.2"):
        (directory(place, record) / name).unlink()
    (directory(place, record) / "ostler.json").write_bytes(_encoded(record))

    assert kept.exists()
    assert read_vm_record(place, record.uuid) == replace(record, run=open_run)


def test_a_run_without_any_record_is_damage(place: Path, record: VmRecord, open_run: Run) -> None:
    write_vm_record(place, None, record)
    write_vm_record(place, None, replace(record, revision=2, run=open_run))
    for name in ("ostler.json", "ostler.json.2"):
        (directory(place, record) / name).unlink()

    with pytest.raises(RecordError, match="is lost"):
        read_vm_record(place, record.uuid)


def test_the_plain_name_alone_is_a_record(place: Path, record: VmRecord) -> None:
    directory(place, record).mkdir()
    (directory(place, record) / "ostler.json").write_bytes(_encoded(record))

    assert read_vm_record(place, record.uuid) == record


def test_owner_and_mode_are_those_of_the_storage_user(place: Path, record: VmRecord) -> None:
    write_vm_record(place, None, record)

    found = (directory(place, record) / "ostler.json").stat()
    assert found.st_mode & 0o777 == 0o660
    if os.geteuid() == 0:
        assert (found.st_uid, found.st_gid) == (36, 36)


def _encoded(record: VmRecord) -> bytes:
    return encode(record)


def _plain(record: VmRecord, **changes: object) -> bytes:
    return json.dumps({**json.loads(_encoded(record)), **changes}).encode()


HOSTILE: dict[str, Callable[[Path, VmRecord], None]] = {
    "empty": lambda path, record: path.write_bytes(b""),
    "cut-off": lambda path, record: path.write_bytes(_encoded(record)[:-9]),
    "binary": lambda path, record: path.write_bytes(b"\x00\xff" * 500),
    "huge": lambda path, record: path.write_bytes(b" " * (256 * 1024 + 1)),
    "deep": lambda path, record: path.write_bytes(b"[" * 100_000),
    "a-list": lambda path, record: path.write_bytes(b"[]"),
    "null": lambda path, record: path.write_bytes(b"null"),
    "other-vm": lambda path, record: path.write_bytes(_plain(record, uuid=record.data_center)),
    "unknown-field": lambda path, record: path.write_bytes(_plain(record, surprise=1)),
    "newer-major": lambda path, record: path.write_bytes(_plain(record, format={"major": 2, "minor": 0})),
    "no-format": lambda path, record: path.write_bytes(_plain(record, format=None)),
    "negative-revision": lambda path, record: path.write_bytes(_plain(record, revision=-1)),
    "symlink": lambda path, record: path.symlink_to("/etc/hostname"),
    "dangling-symlink": lambda path, record: path.symlink_to("/nowhere/at/all"),
    "fifo": lambda path, record: os.mkfifo(path),
    "directory": lambda path, record: path.mkdir(),
    "device": lambda path, record: os.mknod(path, 0o20600, os.makedev(1, 5)),
}


@pytest.mark.parametrize("name", ["ostler.json", "ostler.json.1"])
@pytest.mark.parametrize("content", sorted(HOSTILE))
@pytest.mark.timeout(20)
def test_damage_is_an_error_and_never_absence(place: Path, record: VmRecord, content: str, name: str) -> None:
    directory(place, record).mkdir()
    if content == "device" and os.geteuid() != 0:
        content = "fifo"
    HOSTILE[content](directory(place, record) / name, record)

    with pytest.raises(RecordError):
        read_vm_record(place, record.uuid)


@pytest.mark.parametrize("content", ["empty", "cut-off", "huge", "symlink", "fifo", "directory"])
def test_a_damaged_claim_makes_the_record_unreadable(place: Path, record: VmRecord, content: str) -> None:
    write_vm_record(place, None, record)
    HOSTILE[content](directory(place, record) / "run.1", record)

    with pytest.raises(RecordError):
        read_vm_record(place, record.uuid)


def test_a_record_directory_that_is_a_link_is_refused(place: Path, record: VmRecord, tmp_path: Path) -> None:
    write_vm_record(place, None, record)
    directory(place, record).rename(tmp_path / "elsewhere")
    directory(place, record).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(RecordError):
        read_vm_record(place, record.uuid)


@pytest.mark.parametrize("vm", ["..", ".", "", "../disks", "a/b"])
def test_a_name_that_leads_elsewhere_is_refused(place: Path, vm: str) -> None:
    with pytest.raises(RecordError):
        read_vm_record(place, vm)


def test_a_record_too_large_to_read_is_not_written(place: Path, record: VmRecord) -> None:
    large = replace(record, macs={f"nic{number}": "52:54:00:00:00:01" for number in range(12_000)})

    with pytest.raises(RecordError, match="larger"):
        write_vm_record(place, None, large)
    assert read_vm_record(place, record.uuid) is None
