"""Records of disks and of the pool: the same rules as for VMs, one file each."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.formats.diskrecords import read_disk_record, write_disk_record
from nodeagent.formats.poolrecord import read_pool_record, write_pool_record
from nodeagent.formats.records import RecordConflictError, RecordError
from nodeagent.wire.records import DiskRecord, PoolRecord

IMAGE = "22222222-2222-4333-8444-555555555555"
VOLUME = "33333333-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
DOMAIN = "44444444-2222-4333-8444-555555555555"

DISK = DiskRecord(
    image=IMAGE,
    volume=VOLUME,
    object="disk/root",
    data_center=CENTER,
    storage_domain=DOMAIN,
    revision=1,
    incarnation=1,
)
POOL = PoolRecord(data_center=CENTER, revision=1, host_ids={CENTER: 1}, domains={"sd/main": DOMAIN})

Read = Callable[[Path], Any]
Write = Callable[[Path, Any], None]
KINDS: dict[str, tuple[Any, Read, Write, str]] = {
    "disk": (DISK, lambda place: read_disk_record(place, IMAGE), write_disk_record, f"disks/{IMAGE}"),
    "pool": (POOL, read_pool_record, write_pool_record, "."),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_record_is_read_back_and_absence_is_known(place: Path, kind: str) -> None:
    record, read, write, _ = KINDS[kind]

    assert read(place) is None
    write(place, record)
    assert read(place) == record
    write(place, record)
    write(place, replace(record, revision=2, last_order="k"))
    assert read(place) == replace(record, revision=2, last_order="k")


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("revision", [0, 1, 3])
def test_only_the_next_revision_is_written(place: Path, kind: str, revision: int) -> None:
    record, read, write, _ = KINDS[kind]
    write(place, record)

    with pytest.raises(RecordConflictError):
        write(place, replace(record, revision=revision, last_order="other"))
    assert read(place) == record


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_place_that_is_not_there_is_an_error(tmp_path: Path, kind: str) -> None:
    with pytest.raises(RecordError):
        KINDS[kind][1](tmp_path)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("damage", ["empty", "fifo", "link", "directory", "huge", "other-kind"])
def test_damage_is_an_error(place: Path, kind: str, damage: str) -> None:
    record, read, write, below = KINDS[kind]
    directory = place / "master" / below
    directory.mkdir(exist_ok=True)
    path = directory / "ostler.json"
    match damage:
        case "empty":
            path.touch()
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.symlink_to("/etc/hostname")
        case "directory":
            path.mkdir()
        case "huge":
            path.write_bytes(b"{" + b" " * 300_000 + b"}")
        case _:
            path.write_bytes(b'{"format": {"major": 1, "minor": 0}, "revision": 1}')

    with pytest.raises(RecordError):
        read(place)
    with pytest.raises(RecordError):
        write(place, record)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_killed_writer_leaves_the_old_or_the_new(place: Path, kind: str, interrupter: Any) -> None:
    record, read, write, _ = KINDS[kind]
    write(place, record)

    step, killed = 0, True
    while killed:
        step += 1
        old = read(place)
        new = replace(old, revision=old.revision + 1, last_order=str(step))
        killed = interrupter.kill_at(step, lambda new=new: write(place, new))
        assert read(place) in (old, new)
    assert step > 10


def test_a_disk_record_under_another_image_is_damage(place: Path) -> None:
    write_disk_record(place, DISK)
    (place / "master/disks" / IMAGE).rename(place / "master/disks" / VOLUME)

    with pytest.raises(RecordError, match="speaks of disk image"):
        read_disk_record(place, VOLUME)


def test_the_pool_never_changes_its_data_center(place: Path) -> None:
    write_pool_record(place, POOL)

    with pytest.raises(RecordConflictError, match="belongs to data center"):
        write_pool_record(place, replace(POOL, revision=2, data_center=DOMAIN))
