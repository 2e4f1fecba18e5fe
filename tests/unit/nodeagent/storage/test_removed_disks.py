"""Orders that take disks away: removed with consent, restored, purged in time."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.formats.diskrecords import read_disk_record, write_disk_record
from nodeagent.host import Host
from nodeagent.wire.arguments import (
    PurgeDisk,
    RemoveDisk,
    RestoreDisk,
)
from nodeagent.wire.records import DiskRecord
from tests.unit.nodeagent.storage.disks import (
    CREATE,
    CREATION,
    DISK,
    DOMAIN,
    IMAGE,
    PURGE,
    REMOVE,
    RESTORE,
    VM,
    Order,
    consent,
    following,
    volumes,
)


def test_a_disk_is_removed_only_with_the_consent_in_its_record(
    volume: Path, place: Path, order: Order
) -> None:
    assert "nobody has consented" in order(REMOVE, RemoveDisk(following(DISK)))
    claimed = replace(following(DISK), allow_destroy=IMAGE)
    assert "nobody has consented" in order(REMOVE, RemoveDisk(claimed))
    write_disk_record(place, replace(DISK, allow_destroy=VM, revision=2))
    assert "nobody has consented" in order(REMOVE, RemoveDisk(replace(DISK, revision=3)))
    assert volume.exists()


def test_a_consent_given_for_another_state_of_the_disk_does_not_count(
    volume: Path, place: Path, order: Order
) -> None:
    named = consent(place)

    for other in (
        replace(named, revision=2),
        following(named),
        replace(named, volume=VM),
        replace(named, incarnation=2),
    ):
        assert "made from another one" in order(REMOVE, RemoveDisk(other))
    assert volume.exists()


def test_what_else_the_order_says_of_the_disk_is_recorded_with_it(
    volume: Path, place: Path, order: Order
) -> None:
    named = replace(consent(place), manifest_digest="gone")
    assert order(REMOVE, RemoveDisk(named)) == ""
    removed = read_disk_record(place, IMAGE)
    assert removed is not None
    assert (removed.manifest_digest, removed.revision) == ("gone", named.revision)

    assert order(RESTORE, RestoreDisk(replace(following(removed), manifest_digest="back"))) == ""
    restored = read_disk_record(place, IMAGE)
    assert restored is not None
    assert restored.manifest_digest == "back"


def test_a_removed_disk_is_kept_whole_and_restored_and_its_consent_is_used_up(
    volume: Path, place: Path, order: Order, host: Host
) -> None:
    content = volume.read_bytes()
    assert order(REMOVE, RemoveDisk(consent(place)), key="apply/remove") == ""
    removed = read_disk_record(place, IMAGE)
    assert removed is not None
    assert (removed.removed, removed.allow_destroy, removed.last_order) == (True, None, "apply/remove")
    assert removed.removed_at_ms is not None
    assert [found.removed for found in volumes(host)] == [True]
    assert not volume.exists()

    assert order(REMOVE, RemoveDisk(following(removed))) == ""
    assert "has a record already" in order(CREATE, CREATION)
    assert order(RESTORE, RestoreDisk(following(removed))) == ""
    assert volume.read_bytes() == content
    restored = read_disk_record(place, IMAGE)
    assert restored is not None
    assert (restored.removed, restored.removed_at_ms) == (False, None)
    assert "nobody has consented" in order(REMOVE, RemoveDisk(following(restored)))


def test_of_an_image_that_is_gone_the_record_is_removed(volume: Path, place: Path, order: Order) -> None:
    allowed = consent(place)
    kept = shutil.move(volume.parent, place.parent / "kept")

    assert order(REMOVE, RemoveDisk(allowed)) == ""
    removed = read_disk_record(place, IMAGE)
    assert removed is not None
    assert (removed.removed, removed.allow_destroy) == (True, None)
    assert "was purged" in order(RESTORE, RestoreDisk(following(removed)))
    assert order(PURGE, purge(0)) == ""

    shutil.move(kept, volume.parent)
    assert order(RESTORE, RestoreDisk(following(removed))) == "", "it turned up again"
    assert volume.exists()


def test_an_image_is_not_gone_because_its_domain_cannot_be_read(
    volume: Path, place: Path, order: Order
) -> None:
    allowed = consent(place)
    images = shutil.move(place / "images", place.parent / "images")
    assert "cannot be reached" in order(REMOVE, RemoveDisk(allowed))

    shutil.move(images, place / "images")
    (place.parent / DOMAIN).rename(place.parent / "unmounted")
    assert "refused" in order(REMOVE, RemoveDisk(allowed))
    (place.parent / "unmounted").rename(place.parent / DOMAIN)
    assert volume.exists()
    assert read_disk_record(place, IMAGE).removed is False


@pytest.mark.parametrize("operation", ["remove", "restore"])
def test_a_removal_or_restoration_that_died_is_completed_by_a_repeat(
    volume: Path, place: Path, order: Order, host: Host, control: Any, interrupter: Any, operation: str
) -> None:
    step, killed = 0, True
    while killed:
        step += 4
        record = consent(place)
        if operation == "restore":
            assert order(REMOVE, RemoveDisk(record)) == ""
            found = read_disk_record(place, IMAGE)
            assert found is not None
            arguments: Any = RestoreDisk(following(found))
        else:
            arguments = RemoveDisk(record)
        tried = RESTORE if operation == "restore" else REMOVE
        killed = interrupter.kill_at(step, lambda tried=tried, a=arguments: tried.run(host, a, control))
        (seen,) = volumes(host)
        assert seen.legal
        assert order(tried, arguments) == ""
        if operation == "remove":
            found = read_disk_record(place, IMAGE)
            assert found is not None
            assert order(RESTORE, RestoreDisk(following(found))) == ""
    assert volume.exists()


def test_a_disk_in_use_is_not_removed(volume: Path, place: Path, order: Order, hypervisor: Any) -> None:
    record = consent(place)
    hypervisor.run(VM, volume)

    assert "a guest of this host uses" in order(REMOVE, RemoveDisk(record))
    assert volume.exists()


def test_a_disk_that_is_not_managed_is_not_removed(volume: Path, place: Path, order: Order) -> None:
    record = replace(consent(place), managed=False)
    write_disk_record(place, record)

    assert "not managed" in order(REMOVE, RemoveDisk(following(record)))


@pytest.fixture
def removed(volume: Path, place: Path, order: Order) -> DiskRecord:
    assert order(REMOVE, RemoveDisk(consent(place))) == ""
    record = read_disk_record(place, IMAGE)
    assert record is not None
    return record


def purge(retention_ms: int) -> PurgeDisk:
    return PurgeDisk(DOMAIN, IMAGE, retention_ms)


def test_bytes_go_only_after_their_retention(removed: DiskRecord, place: Path, order: Order) -> None:
    assert "stays restorable" in order(PURGE, purge(60_000))
    assert removed.removed_at_ms is not None
    long_ago = replace(removed, removed_at_ms=removed.removed_at_ms - 60_000, revision=removed.revision + 1)
    write_disk_record(place, long_ago)

    assert order(PURGE, purge(60_000)) == ""
    assert order(PURGE, purge(60_000)) == ""
    assert not list((place / "images").glob(f"*{IMAGE}*"))
    assert read_disk_record(place, IMAGE) == long_ago
    assert "was purged" in order(RESTORE, RestoreDisk(following(long_ago)))


def test_a_removal_in_the_future_is_not_purged(removed: DiskRecord, place: Path, order: Order) -> None:
    assert removed.removed_at_ms is not None
    write_disk_record(
        place,
        replace(removed, removed_at_ms=removed.removed_at_ms + 3_600_000, revision=removed.revision + 1),
    )

    assert "clock" in order(PURGE, purge(0))


def test_a_disk_that_was_not_removed_is_not_purged(volume: Path, order: Order) -> None:
    assert "not marked removed" in order(PURGE, purge(0))
    assert volume.exists()


def test_a_removed_image_without_record_is_not_purged(removed: DiskRecord, place: Path, order: Order) -> None:
    shutil.rmtree(place / "master/disks" / IMAGE)

    assert "not marked removed" in order(PURGE, purge(0))
    assert (place / "images" / f"_remove_me_{IMAGE}").exists()


def test_a_half_purged_disk_is_not_restored_and_purged_by_a_repeat(
    removed: DiskRecord, place: Path, order: Order, host: Host, control: Any, interrupter: Any
) -> None:
    kept = place.parent / "kept"
    directory = place / "images" / f"_remove_me_{IMAGE}"
    shutil.copytree(directory, kept)
    step, killed = 0, True
    while killed:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(kept, directory)
        step += 1
        killed = interrupter.kill_at(step, lambda: PURGE.run(host, purge(0), control))
        whole = {path.name for path in directory.glob("*")} == {path.name for path in kept.iterdir()}
        if not whole:
            assert "gone" in order(RESTORE, RestoreDisk(following(removed)))
        assert order(PURGE, purge(0)) == ""
        assert not directory.exists()
