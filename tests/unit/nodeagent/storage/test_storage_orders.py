"""Orders that create, connect and disconnect storage domains, and write the pool's record."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.drivers.mounts import is_mounted
from nodeagent.formats.domainmetadata import read_domain_metadata
from nodeagent.formats.poolrecord import read_pool_record
from nodeagent.host import Host
from nodeagent.operations import storage_connect, storage_create, storage_disconnect, storage_pool
from nodeagent.wire.arguments import (
    ConnectStorageDomain,
    CreateStorageDomain,
    DisconnectStorageDomain,
    StorageConnection,
    WritePoolRecord,
)
from nodeagent.wire.records import PoolRecord

DOMAIN = "44444444-2222-4333-8444-555555555555"
OTHER = "55555555-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
IMAGE = "22222222-2222-4333-8444-555555555555"
VM = "11111111-2222-4333-8444-555555555555"

Order = Callable[..., str]
CREATE, CONNECT = storage_create.OPERATION, storage_connect.OPERATION
DISCONNECT, POOL = storage_disconnect.OPERATION, storage_pool.OPERATION


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.fixture
def creation(empty: Path) -> CreateStorageDomain:
    return CreateStorageDomain(DOMAIN, "main", CENTER, StorageConnection("localfs", str(empty)), master=True)


def connection(creation: CreateStorageDomain, host_id: int = 1) -> ConnectStorageDomain:
    return ConnectStorageDomain(creation.uuid, creation.data_center, creation.connection, host_id)


def test_a_domain_is_created_connected_and_disconnected(
    order: Order, creation: CreateStorageDomain, host: Host, empty: Path
) -> None:
    assert order(CREATE, creation) == ""
    assert order(CONNECT, connection(creation)) == ""
    assert host.storage.facts()[0].state == "active"
    assert host.settings.host_id == 1
    assert read_domain_metadata(empty / DOMAIN).pools == (CENTER,)

    assert order(DISCONNECT, DisconnectStorageDomain(DOMAIN)) == ""
    assert host.storage.facts() == ()
    assert (empty / DOMAIN / "dom_md" / "metadata").exists()


def test_a_domain_on_a_server_is_created_and_connected_by_the_file_systems_own_helper(
    privately: Callable[[Callable[[], object]], None], order: Order, host: Host, empty: Path
) -> None:
    """mount(8) hands a source of its type's own making to `mount.<type>`, here one that this machine can have."""
    source = "nfs-1.example.org,nfs-2.example.org:/exports/it's images; $(x)"

    def work() -> None:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/usr/sbin"], check=True)
        helper = Path("/usr/sbin/mount.exported")
        helper.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >>{empty.parent}/said\nexec mount --bind {empty} "$2"\n'
        )
        helper.chmod(0o755)
        created = CreateStorageDomain(
            DOMAIN, "main", CENTER, StorageConnection("posixfs", source, "exported", "vers=4"), master=True
        )
        assert order(CREATE, created) == ""
        assert order(CONNECT, connection(created)) == ""
        assert host.storage.facts()[0].state == "active"
        assert host.storage.place(DOMAIN) == host.paths.mounts / DOMAIN / DOMAIN
        assert read_domain_metadata(empty / DOMAIN).remote_path == source
        words = (empty.parent / "said").read_text().splitlines()
        assert words[:2] == [source, str(host.paths.mounts / DOMAIN)]
        assert order(DISCONNECT, DisconnectStorageDomain(DOMAIN)) == ""
        assert not is_mounted(host.paths.mounts / DOMAIN)

    privately(work)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (StorageConnection("localfs", "server:/images"), "no absolute path"),
        (StorageConnection("posixfs", "server:/images", "none", "bind"), "needs an absolute path"),
        (StorageConnection("posixfs", "--bind", "nfs"), "looks like an option"),
    ],
)
def test_a_source_that_cannot_be_right_is_refused_before_anything_is_mounted(
    order: Order, given: StorageConnection, words: str
) -> None:
    created = CreateStorageDomain(DOMAIN, "main", CENTER, given, master=True)

    assert words in order(CREATE, created)
    assert words in order(CONNECT, connection(created))


def test_creating_it_again_changes_nothing(order: Order, creation: CreateStorageDomain, empty: Path) -> None:
    assert order(CREATE, creation) == ""
    record = empty / DOMAIN / "master/vms/keep"
    record.touch()

    assert order(CREATE, creation) == ""
    assert record.exists()


@pytest.mark.parametrize("stranger", ["holiday.jpg", OTHER])
def test_a_place_that_holds_something_is_refused(
    order: Order, creation: CreateStorageDomain, empty: Path, stranger: str
) -> None:
    (empty / stranger).mkdir()

    assert "not empty" in order(CREATE, creation)
    assert not (empty / DOMAIN).exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"data_center": OTHER}, "data center"), ({"master": False}, "role")],
)
def test_a_domain_of_that_uuid_for_another_use_is_left_alone(
    order: Order, creation: CreateStorageDomain, empty: Path, changes: dict[str, Any], words: str
) -> None:
    order(CREATE, creation)
    before = (empty / DOMAIN / "dom_md/metadata").read_bytes()

    assert words in order(CREATE, replace(creation, **changes))
    assert (empty / DOMAIN / "dom_md/metadata").read_bytes() == before


def test_a_domain_that_lost_its_metadata_is_not_made_anew(
    order: Order, creation: CreateStorageDomain, empty: Path
) -> None:
    order(CREATE, creation)
    (empty / DOMAIN / "dom_md/metadata").unlink()
    (empty / DOMAIN / "images" / IMAGE).mkdir()

    assert "not empty" in order(CREATE, creation)
    assert not (empty / DOMAIN / "dom_md/metadata").exists()


def test_a_half_made_domain_is_completed(
    order: Order, creation: CreateStorageDomain, host: Host, control: Any, interrupter: Any, empty: Path
) -> None:
    """Killed here and there; every call is tried where the layout itself is tested."""
    step, killed = 0, True
    while killed:
        shutil.rmtree(empty / DOMAIN, ignore_errors=True)
        step += 17
        killed = interrupter.kill_at(step, lambda: CREATE.run(host, creation, control))
        made = (empty / DOMAIN / "dom_md" / "metadata").exists()
        assert CREATE.recover(host, creation, control) is made
        assert order(CREATE, creation) == ""


def test_a_directory_that_does_not_exist_is_told(order: Order, creation: CreateStorageDomain) -> None:
    gone = replace(creation, connection=StorageConnection("localfs", "/nowhere/at/all"))

    assert "/nowhere/at/all is no directory" in order(CREATE, gone)


@pytest.mark.parametrize("host_id", [0, 251])
def test_host_ids_are_1_to_250(order: Order, creation: CreateStorageDomain, host_id: int) -> None:
    order(CREATE, creation)

    assert "not within" in order(CONNECT, connection(creation, host_id))


def test_a_host_keeps_its_id_as_long_as_it_has_storage(
    order: Order, creation: CreateStorageDomain, host: Host, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second = replace(
        creation, uuid=OTHER, master=False, connection=StorageConnection("localfs", str(tmp_path / "second"))
    )
    order(CREATE, creation)
    order(CREATE, second)
    order(CONNECT, connection(creation, 1))

    assert "host id 1" in order(CONNECT, connection(second, 2))
    order(DISCONNECT, DisconnectStorageDomain(DOMAIN))
    assert order(CONNECT, connection(second, 2)) == ""
    assert host.settings.host_id == 2


def test_a_connected_domain_is_not_connected_from_elsewhere(
    order: Order, creation: CreateStorageDomain, tmp_path: Path
) -> None:
    order(CREATE, creation)
    order(CONNECT, connection(creation))
    elsewhere = replace(creation, connection=StorageConnection("localfs", str(tmp_path)))

    assert "disconnect it first" in order(CONNECT, connection(elsewhere))
    assert "is connected from" in order(CREATE, elsewhere)


def test_a_domain_that_a_guest_uses_stays_connected(
    order: Order, creation: CreateStorageDomain, hypervisor: Any, empty: Path
) -> None:
    order(CREATE, creation)
    order(CONNECT, connection(creation))
    hypervisor.run(VM, empty / DOMAIN / "images" / IMAGE / "volume")
    assert "guests of this host use it" in order(DISCONNECT, DisconnectStorageDomain(DOMAIN))

    hypervisor.xml.clear()
    hypervisor.failing = True
    assert "does not answer" in order(DISCONNECT, DisconnectStorageDomain(DOMAIN))

    hypervisor.failing = False
    assert order(DISCONNECT, DisconnectStorageDomain(DOMAIN)) == ""


def test_posixfs_is_mounted_for_the_making_and_by_the_connection(
    privately: Callable[[Callable[[], object]], None],
    order: Order,
    creation: CreateStorageDomain,
    host: Host,
    empty: Path,
) -> None:
    def work() -> None:
        bound = replace(creation, connection=StorageConnection("posixfs", str(empty), "none", "bind"))
        assert order(CREATE, bound) == ""
        assert not is_mounted(host.paths.mounts / DOMAIN)
        assert order(CONNECT, connection(bound)) == ""
        assert is_mounted(host.paths.mounts / DOMAIN)
        assert (host.storage.place(DOMAIN) / "master").is_dir()
        assert order(DISCONNECT, DisconnectStorageDomain(DOMAIN)) == ""
        assert not is_mounted(host.paths.mounts / DOMAIN)

    privately(work)


@pytest.mark.parametrize("vfs_type", [None, "fuse"])
def test_a_mount_without_type_or_through_a_program_is_refused(
    order: Order, creation: CreateStorageDomain, vfs_type: str | None
) -> None:
    odd = replace(creation, connection=StorageConnection("posixfs", "/srv", vfs_type))

    assert order(CREATE, odd).startswith("refused")
    assert order(CONNECT, connection(odd)).startswith("refused")


def test_the_pools_record_is_written_revision_by_revision(
    order: Order, creation: CreateStorageDomain, empty: Path
) -> None:
    order(CREATE, creation)
    order(CONNECT, connection(creation))
    first = PoolRecord(CENTER, 1, {OTHER: 1}, {"sd/main": DOMAIN}, last_order="apply/step")
    second = replace(first, revision=2, host_ids={OTHER: 1, VM: 2})

    assert order(POOL, WritePoolRecord(DOMAIN, first)) == ""
    assert order(POOL, WritePoolRecord(DOMAIN, first)) == ""
    assert "revision 1" in order(POOL, WritePoolRecord(DOMAIN, replace(second, revision=3)))
    assert "one host id" in order(POOL, WritePoolRecord(DOMAIN, replace(second, host_ids={OTHER: 1, VM: 1})))
    assert order(POOL, WritePoolRecord(DOMAIN, second)) == ""
    assert read_pool_record(empty / DOMAIN) == second


def test_the_pools_record_lies_on_a_master_only(order: Order, creation: CreateStorageDomain) -> None:
    regular = replace(creation, master=False)
    order(CREATE, regular)
    order(CONNECT, connection(regular))

    assert "not a master" in order(POOL, WritePoolRecord(DOMAIN, PoolRecord(CENTER, 1)))


def test_storage_that_cannot_be_written_is_told(
    privately: Callable[[Callable[[], object]], None],
    order: Order,
    creation: CreateStorageDomain,
    empty: Path,
) -> None:
    def work() -> None:
        readonly = replace(creation, connection=StorageConnection("posixfs", str(empty), "none", "bind,ro"))
        assert "Read-only" in order(CREATE, readonly)

    privately(work)
