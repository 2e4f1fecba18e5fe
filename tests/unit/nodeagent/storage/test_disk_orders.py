"""Orders about disks: made whole or not at all, grown, never shrunk, recorded revision by revision."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.drivers.qemuimg import is_open_elsewhere, read_image_info
from nodeagent.formats.diskrecords import read_disk_record, write_disk_record
from nodeagent.formats.volumemetadata import read_volume_metadata, write_volume_metadata
from nodeagent.host import Host
from nodeagent.wire.arguments import (
    GrowDisk,
    RemoveDisk,
    WriteDiskRecord,
)
from tests.unit.nodeagent.storage.disks import (
    CENTER,
    CREATE,
    CREATION,
    DISK,
    DOMAIN,
    GROW,
    IMAGE,
    MIB,
    RECORD,
    REMOVE,
    VM,
    VOLUME,
    Order,
    consent,
    following,
    volumes,
)


@pytest.mark.parametrize("allocation", ["thin", "preallocated"])
@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_a_disk_is_made_with_metadata_record_and_owner(
    place: Path, order: Order, host: Host, image_format: Any, allocation: Any
) -> None:
    wanted = replace(CREATION, format=image_format, allocation=allocation)

    assert order(CREATE, wanted) == ""
    (found,) = volumes(host)
    assert (found.format, found.allocation, found.capacity_bytes) == (image_format, allocation, 8 * MIB)
    assert (found.legal, found.description) == (True, "root of web-1")
    assert read_disk_record(place, IMAGE) == DISK
    directory = place / "images" / IMAGE
    assert {path.name for path in directory.iterdir()} == {VOLUME, f"{VOLUME}.meta", f"{VOLUME}.lease"}
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o660
        if os.geteuid() == 0:
            assert (path.stat().st_uid, path.stat().st_gid) == (36, 36)
    metadata = read_volume_metadata(place, IMAGE, VOLUME)
    assert metadata is not None
    assert (metadata.domain, metadata.generation, metadata.type) == (DOMAIN, 0, "LEAF")


def test_making_it_again_touches_nothing(volume: Path, order: Order) -> None:
    subprocess.run(["qemu-io", "-c", "write -P 7 0 64k", str(volume)], check=True, capture_output=True)
    before = volume.read_bytes()

    assert order(CREATE, CREATION) == ""
    assert volume.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"capacity_bytes": 0}, "no size"),
        ({"capacity_bytes": 4097}, "no size"),
        ({"capacity_bytes": 2**63 - 4096}, "no size"),
        ({"record": replace(DISK, storage_domain=CENTER)}, "another storage domain"),
        ({"record": replace(DISK, removed=True)}, "removed disk"),
        ({"record": replace(DISK, revision=2)}, "first revision"),
        ({"storage_domain": CENTER, "record": replace(DISK, storage_domain=CENTER)}, "not connected"),
        ({"capacity_bytes": 2**60, "allocation": "preallocated"}, "bytes free"),
    ],
)
def test_an_order_that_cannot_be_right_is_refused(
    place: Path, order: Order, changes: dict[str, Any], words: str
) -> None:
    answer = order(CREATE, replace(CREATION, **changes))

    assert answer.startswith("refused")
    assert words in answer
    assert not (place / "images" / IMAGE).exists()


def test_an_order_that_writes_a_record_leaves_its_key_there(place: Path, order: Order) -> None:
    assert order(CREATE, replace(CREATION, record=replace(DISK, last_order="")), key="apply/7") == ""
    record = read_disk_record(place, IMAGE)
    assert record is not None
    assert record.last_order == "apply/7"

    assert order(RECORD, WriteDiskRecord(following(record)), key="apply/8") == ""
    record = read_disk_record(place, IMAGE)
    assert record is not None
    assert record.last_order == "apply/8"


def test_an_image_that_is_whole_is_not_made_by_another_revision(volume: Path, order: Order) -> None:
    assert "is whole" in order(CREATE, replace(CREATION, record=following(DISK)))


def test_an_image_that_is_already_something_else_is_left_alone(volume: Path, order: Order) -> None:
    other = replace(CREATION, record=replace(DISK, object="disk/other"))

    assert "has a record already" in order(CREATE, other)


def test_a_volume_that_nobody_recorded_is_not_overwritten(volume: Path, place: Path, order: Order) -> None:
    shutil.rmtree(place / "master/disks" / IMAGE)
    before = volume.read_bytes()

    assert "no record of it" in order(CREATE, CREATION)
    (place / "images" / IMAGE / f"{VOLUME}.meta").unlink()
    assert "without metadata" in order(CREATE, CREATION)
    assert volume.read_bytes() == before


def test_strange_files_in_the_image_are_left_alone(place: Path, order: Order) -> None:
    (place / "images" / IMAGE).mkdir()
    (place / "images" / IMAGE / VM).write_bytes(b"precious")

    assert f"holds {VM}" in order(CREATE, CREATION)
    assert (place / "images" / IMAGE / VM).read_bytes() == b"precious"


def test_a_cancelled_creation_leaves_nothing(place: Path, order: Order) -> None:
    assert "cancelled" in order(CREATE, CREATION, stopped=True)
    assert not (place / "images" / IMAGE).exists()
    assert order(CREATE, CREATION, stopped=False) == ""


def test_what_another_host_has_begun_of_the_same_disk_is_left_alone(place: Path, order: Order) -> None:
    directory = place / "images" / IMAGE
    directory.mkdir(parents=True)
    begun = directory / f".ostler-new-another-host-{VOLUME}"
    begun.write_bytes(b"half a header")

    assert order(CREATE, CREATION) == ""
    assert begun.read_bytes() == b"half a header"
    assert (directory / VOLUME).stat().st_size > 13


def test_a_creation_that_died_is_illegal_until_a_repeat_completes_it(
    place: Path, order: Order, host: Host, control: Any, interrupter: Any
) -> None:
    step, killed, illegal = 0, True, 0
    while killed:
        shutil.rmtree(place / "images" / IMAGE, ignore_errors=True)
        shutil.rmtree(place / "master/disks" / IMAGE, ignore_errors=True)
        step += 5
        killed = interrupter.kill_at(step, lambda: CREATE.run(host, CREATION, control))
        done = CREATE.recover(host, CREATION, control)
        found = volumes(host)
        illegal += any(not volume.legal for volume in found)
        assert done is any(volume.legal for volume in found)
        record = read_disk_record(place, IMAGE)
        known = CREATION if record is None or done else replace(CREATION, record=following(record))
        assert order(CREATE, known) == ""
        assert order(CREATE, known) == ""
        assert [volume.legal for volume in volumes(host)] == [True]
    assert illegal > 5


def test_a_half_made_volume_of_another_size_is_told_and_kept(volume: Path, place: Path, order: Order) -> None:
    shutil.rmtree(place / "master/disks" / IMAGE)
    metadata = read_volume_metadata(place, IMAGE, VOLUME)
    assert metadata is not None
    write_volume_metadata(place, IMAGE, VOLUME, replace(metadata, legality="ILLEGAL"))

    answer = order(CREATE, replace(CREATION, capacity_bytes=16 * MIB))
    assert "half-made volume of 8388608 bytes" in answer
    assert volume.exists()
    assert order(CREATE, CREATION) == ""


def grow(capacity_bytes: int, vm: str | None = None) -> GrowDisk:
    return GrowDisk(DOMAIN, IMAGE, VOLUME, capacity_bytes, vm)


def test_a_disk_grows_and_its_metadata_follows(volume: Path, place: Path, order: Order) -> None:
    assert order(GROW, grow(16 * MIB)) == ""
    assert order(GROW, grow(16 * MIB)) == ""

    assert read_image_info(volume, "qcow2").virtual_bytes == 16 * MIB
    metadata = read_volume_metadata(place, IMAGE, VOLUME)
    assert metadata is not None
    assert metadata.capacity_bytes == 16 * MIB


@pytest.mark.parametrize("capacity_bytes", [8 * MIB - 4096, 4096, 0])
def test_a_disk_never_shrinks(volume: Path, order: Order, capacity_bytes: int) -> None:
    assert "never shrink" in order(GROW, grow(capacity_bytes))
    assert read_image_info(volume, "qcow2").virtual_bytes == 8 * MIB


def test_a_disk_larger_than_its_metadata_says_does_not_shrink_either(
    volume: Path, place: Path, order: Order
) -> None:
    subprocess.run(["qemu-img", "resize", "-q", str(volume), "32M"], check=True)

    assert "never shrink" in order(GROW, grow(16 * MIB))
    assert read_image_info(volume, "qcow2").virtual_bytes == 32 * MIB
    assert order(GROW, grow(32 * MIB)) == ""


def test_a_running_guest_sees_its_disk_grow(volume: Path, order: Order, hypervisor: Any, place: Path) -> None:
    assert "no guest of this host" in order(GROW, grow(16 * MIB, VM))
    hypervisor.run(VM, volume)

    assert "a guest of this host uses" in order(GROW, grow(16 * MIB))
    assert order(GROW, grow(16 * MIB, VM)) == ""
    assert hypervisor.resized == [(VM, "vda", 16 * MIB)]
    assert "never shrink" in order(GROW, grow(8 * MIB, VM))
    assert len(hypervisor.resized) == 1


def test_a_disk_that_libvirt_cannot_answer_for_is_not_touched(
    volume: Path, order: Order, hypervisor: Any, place: Path
) -> None:
    hypervisor.failing = True

    assert "does not answer" in order(GROW, grow(16 * MIB))
    assert "does not answer" in order(REMOVE, RemoveDisk(consent(place)))
    assert volume.exists()


@pytest.fixture
def foreign_user(volume: Path, until: Callable[[Callable[[], bool]], None]) -> Any:
    """A QEMU that libvirt of this host does not know of, as on another host, has the disk open."""
    guest = subprocess.Popen(
        [
            *("qemu-system-x86_64", "-S", "-display", "none", "-m", "64", "-nodefaults", "-accel", "tcg"),
            *("-drive", f"file={volume},format=qcow2,if=virtio", "-monitor", "none", "-serial", "none"),
        ]
    )
    until(lambda: is_open_elsewhere(volume))
    yield guest
    guest.kill()
    guest.wait()


def test_a_disk_open_on_another_host_is_neither_grown_nor_removed(
    foreign_user: Any, volume: Path, place: Path, order: Order
) -> None:
    assert "has" in (answer := order(GROW, grow(16 * MIB)))
    assert "open" in answer
    assert "open" in order(REMOVE, RemoveDisk(consent(place)))
    assert volume.exists()


def test_a_disk_that_ostler_does_not_manage_is_not_grown(volume: Path, place: Path, order: Order) -> None:
    write_disk_record(place, replace(DISK, managed=False, revision=2))

    assert "not managed" in order(GROW, grow(16 * MIB))


def test_a_record_follows_revision_by_revision(volume: Path, place: Path, order: Order) -> None:
    second = replace(DISK, revision=2, manifest_digest="abc", allow_destroy=IMAGE)

    assert order(RECORD, WriteDiskRecord(second)) == ""
    assert order(RECORD, WriteDiskRecord(second)) == ""
    assert "revision 2" in order(RECORD, WriteDiskRecord(replace(second, manifest_digest="other")))
    third = replace(second, revision=3)
    assert "keeps its volume" in order(RECORD, WriteDiskRecord(replace(third, volume=VM)))
    assert "only remove-disk" in order(RECORD, WriteDiskRecord(replace(third, removed=True)))


def test_an_image_that_is_there_is_adopted_by_its_first_record(
    volume: Path, place: Path, order: Order
) -> None:
    shutil.rmtree(place / "master/disks" / IMAGE)

    assert "no legal volume" in order(RECORD, WriteDiskRecord(replace(DISK, volume=VM)))
    assert "first revision" in order(RECORD, WriteDiskRecord(replace(DISK, revision=4)))
    assert order(RECORD, WriteDiskRecord(DISK)) == ""
    assert read_disk_record(place, IMAGE) == DISK
