"""All that a domain holds, read in one go: complete or saying what is missing, and quick the next time."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.facts import storagecache
from nodeagent.facts.storage import DomainCache, StorageReader, read_contents
from nodeagent.facts.storagecache import DirectoryCache
from nodeagent.formats.diskrecords import write_disk_record
from nodeagent.formats.domainlayout import ISO_IMAGE
from nodeagent.formats.poolrecord import write_pool_record
from nodeagent.formats.vmrecords import claim_run, close_run, write_vm_record
from nodeagent.formats.volumemetadata import VolumeMetadata, write_volume_metadata
from nodeagent.storage import StorageDomains, StorageError
from nodeagent.storagefile import ConnectedDomain
from nodeagent.wire.facts import StorageContents
from nodeagent.wire.records import DiskRecord, PoolRecord, RunHost, VmRecord, VolumeFacts

DOMAIN = "44444444-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
IMAGE = "22222222-2222-4333-8444-555555555555"
VOLUME = "33333333-2222-4333-8444-555555555555"
HOST = RunHost("aaaaaaaa-2222-4333-8444-555555555555", "bbbbbbbb-2222-4333-8444-555555555555")


def vm(number: int) -> VmRecord:
    return VmRecord(
        uuid=f"{number:08x}-0000-4000-8000-000000000000",
        object=f"vm/web-{number}",
        data_center=CENTER,
        revision=1,
        incarnation=1,
        machine="pc-q35-7.2",
        cpu_model="max",
        macs={"eth0": "52:54:00:00:00:01"},
        manifest_digest="d" * 64,
        run=None,
    )


DISK = DiskRecord(
    image=IMAGE,
    volume=VOLUME,
    object="disk/root",
    data_center=CENTER,
    storage_domain=DOMAIN,
    revision=1,
    incarnation=1,
)
METADATA = VolumeMetadata(
    domain=DOMAIN,
    image=IMAGE,
    capacity_bytes=1 << 30,
    format="COW",
    allocation="SPARSE",
    ctime_s=1700000000,
    description="root",
)


@pytest.fixture
def place(remote: Path) -> Path:
    return remote / DOMAIN


@pytest.fixture
def read(domains: StorageDomains, local: ConnectedDomain, place: Path) -> Callable[[], StorageContents]:
    domains.connect(local)
    reader = StorageReader(domains)

    def contents() -> StorageContents:
        found = reader.read(DOMAIN)
        assert found is not None
        return found

    return contents


def make_volume(place: Path, name: str = IMAGE, content: bytes = b"x" * 5000) -> None:
    (place / "images" / name).mkdir()
    (place / "images" / name / VOLUME).write_bytes(content)
    write_volume_metadata(place, name, VOLUME, METADATA)


Read = Callable[[], StorageContents]


def test_an_empty_domain_is_complete_and_empty(read: Read) -> None:
    contents = read()

    assert contents.complete
    assert contents.master
    assert contents.total_bytes > contents.free_bytes > 0
    assert (contents.pool, contents.vms, contents.disks, contents.volumes) == (None, (), (), ())


def test_a_domain_that_is_not_connected_is_none(domains: StorageDomains) -> None:
    assert StorageReader(domains).read(DOMAIN) is None


def test_a_domain_that_does_not_answer_is_an_error(
    domains: StorageDomains, local: ConnectedDomain, place: Path, until: Callable[[Callable[[], bool]], None]
) -> None:
    domains.connect(local)
    domains.start()
    place.rename(place.with_name("away"))
    until(lambda: domains.facts()[0].state == "inactive")

    with pytest.raises(StorageError, match="inactive"):
        StorageReader(domains).read(DOMAIN)


def test_all_records_and_volumes_are_there(read: Read, place: Path) -> None:
    write_vm_record(place, None, vm(1))
    claimed = claim_run(place, None, vm(1).uuid, 1, (HOST,), "k")
    write_vm_record(place, None, replace(vm(2), removed=True))
    write_disk_record(place, DISK)
    pool = PoolRecord(data_center=CENTER, revision=1)
    write_pool_record(place, pool)
    make_volume(place)

    contents = read()
    assert contents.complete
    assert contents.vms == (claimed, replace(vm(2), removed=True))
    assert contents.disks == (DISK,)
    assert contents.pool == pool
    assert contents.volumes == (
        VolumeFacts(
            image=IMAGE,
            volume=VOLUME,
            format="qcow2",
            allocation="thin",
            capacity_bytes=1 << 30,
            actual_bytes=8192,
            description="root",
        ),
    )


def test_a_removed_image_is_shown_as_removed(read: Read, place: Path) -> None:
    make_volume(place, f"_remove_me_{IMAGE}")

    (volume,) = read().volumes
    assert (volume.image, volume.removed, volume.legal) == (IMAGE, True, True)


def test_a_half_made_volume_is_not_legal(read: Read, place: Path) -> None:
    make_volume(place)
    (place / "images" / IMAGE / VOLUME).unlink()

    (volume,) = read().volumes
    assert not volume.legal


def test_what_cannot_be_read_is_named(read: Read, place: Path) -> None:
    for number in (1, 2, 3):
        write_vm_record(place, None, vm(number))
    (place / "master/vms" / vm(1).uuid / "ostler.json").write_bytes(b"{")
    shutil.rmtree(place / "master/vms" / vm(2).uuid)
    (place / "master/vms" / vm(2).uuid).symlink_to("/etc")
    write_disk_record(place, DISK)
    (place / "master/disks" / IMAGE / "ostler.json").write_bytes(b"")
    make_volume(place)
    (place / "images" / IMAGE / f"{VOLUME}.meta").write_bytes(b"garbage")

    contents = read()
    assert contents.complete
    assert contents.unreadable == (vm(1).uuid, vm(2).uuid)
    assert contents.unreadable_disks == (IMAGE,)
    assert contents.vms == (vm(3),)


@pytest.mark.parametrize("gone", ["master", "master/vms", "master/disks", "images"])
def test_a_directory_that_cannot_be_listed_makes_it_incomplete(read: Read, place: Path, gone: str) -> None:
    (place / gone).rename(place / "elsewhere")

    assert not read().complete


def test_cd_images_are_listed_and_nothing_else_there(read: Read, place: Path) -> None:
    isos = place / "images" / ISO_IMAGE
    (isos / "debian-12.iso").write_bytes(b"cd")
    (isos / "old.iso").symlink_to(isos / "debian-12.iso")
    (isos / "sub.iso").mkdir()

    assert read().isos == ("debian-12.iso",)
    shutil.rmtree(isos)
    assert read().isos == ()


def test_a_damaged_pool_record_makes_it_incomplete(read: Read, place: Path) -> None:
    (place / "master" / "ostler.json").write_bytes(b"{}")

    assert not read().complete


def test_other_files_around_are_ignored(read: Read, place: Path) -> None:
    for name in ("README", "x" * 200, ".hidden"):
        (place / "master/vms" / name).touch()
        (place / "images" / name).mkdir()

    contents = read()
    assert contents.complete
    assert (contents.vms, contents.volumes, contents.unreadable) == ((), (), ())


def test_every_change_shows_in_the_next_reading(
    read: Read,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], bool]], None],
) -> None:
    now = [0.0]
    monkeypatch.setattr(storagecache.DirectoryCache.__init__, "__defaults__", (lambda: now[0],))
    write_vm_record(place, None, vm(1))

    def is_past() -> bool:
        """Whether the file system, whose clock is coarse, gives later times than those of the record."""
        (tmp_path / "probe").touch()
        newest = max(path.stat().st_mtime_ns for path in (place / "master/vms" / vm(1).uuid).iterdir())
        return (tmp_path / "probe").stat().st_mtime_ns > newest

    for number in range(1, 15):
        claimed = claim_run(place, None, vm(1).uuid, number, (HOST,), "k")
        assert read().vms == (claimed,)
        closed = close_run(place, None, vm(1).uuid, number, "shutdown", False, "k")
        assert read().vms == (closed,)
        if number % 5 == 0:
            until(is_past)
            now[0] += storagecache.SETTLE_S
            assert read().vms == read().vms == (closed,)
    shutil.rmtree(place / "master/vms" / vm(1).uuid)
    assert read().vms == ()


def test_a_file_changed_in_place_shows(read: Read, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storagecache, "SETTLE_S", 0.0)
    write_vm_record(place, None, vm(1))
    assert read().vms == read().vms == (vm(1),)
    (place / "master/vms" / vm(1).uuid / "ostler.json").write_bytes(b"{}")

    assert read().unreadable == (vm(1).uuid,)


def test_settled_directories_are_not_read_again(tmp_path: Path) -> None:
    now, loads = [0.0], []
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"1")
    cache: DirectoryCache[int] = DirectoryCache(lambda: now[0])

    def load(_handle: int) -> tuple[int, tuple[str, ...]]:
        loads.append(now[0])
        return len(loads), ("file",)

    parent = os.open(tmp_path, os.O_RDONLY)
    for at in (0.0, 1.0, 2.5, 3.0, 90.0):
        now[0] = at
        cache.get(parent, "a", load)
    assert loads == [0.0, 1.0, 2.5]

    (tmp_path / "a" / "file").write_bytes(b"22")
    cache.get(parent, "a", load)
    assert len(loads) == 4
    os.close(parent)


def test_ten_thousand_records_are_read_quickly_and_the_next_time_only_looked_at(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits are several times what two slow cores need."""
    monkeypatch.setattr(storagecache, "SETTLE_S", 0.0)
    template = place / "master/vms" / vm(0).uuid
    write_vm_record(place, None, vm(0))
    text = (template / "ostler.json").read_bytes()
    for number in range(1, 10_000):
        directory = place / "master/vms" / vm(number).uuid
        directory.mkdir()
        (directory / "ostler.json.1").write_bytes(text.replace(vm(0).uuid.encode(), vm(number).uuid.encode()))
        (directory / "ostler.json").hardlink_to(directory / "ostler.json.1")
    cache = DomainCache()

    began = time.process_time()
    assert len(read_contents(place, DOMAIN, None, cache).vms) == 10_000
    first = time.process_time() - began
    began = time.process_time()
    assert len(read_contents(place, DOMAIN, None, cache).vms) == 10_000
    again = time.process_time() - began

    print(f"first {first:.2f} s, again {again:.2f} s of CPU")
    assert first < 10
    assert again < 1.5
