"""The registry of storage domains: connected once, there again after a restart, never waiting for storage."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.drivers.mounts import is_mounted, objection_to_mount, unmount_file_system
from nodeagent.errors import DriverError
from nodeagent.formats.domainlayout import ISO_IMAGE, make_domain
from nodeagent.formats.domainmetadata import DomainMetadata
from nodeagent.operations.contract import HostPaths, OperationError
from nodeagent.storage import StorageDomains, StorageError
from nodeagent.storagefile import ConnectedDomain
from nodeagent.wire.arguments import StorageConnection
from nodeagent.wire.codec import ContractError, decode_strict, encode

DOMAIN = "44444444-2222-4333-8444-555555555555"
OTHER = "55555555-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
IMAGE = "22222222-2222-4333-8444-555555555555"
VOLUME = "33333333-2222-4333-8444-555555555555"

Until = Callable[[Callable[[], bool]], None]
Privately = Callable[[Callable[[], object]], None]
Make = Callable[[], StorageDomains]


def test_a_connected_domain_has_its_directory_and_facts(
    domains: StorageDomains, local: ConnectedDomain, remote: Path
) -> None:
    domains.connect(local)

    assert domains.place(DOMAIN) == remote / DOMAIN
    (facts,) = domains.facts()
    assert (facts.uuid, facts.state, facts.master, facts.version) == (DOMAIN, "active", True, 5)
    assert facts.total_bytes > facts.free_bytes > 0
    assert domains.answering_place(DOMAIN) == remote / DOMAIN


def test_a_domain_that_is_not_connected_has_no_directory(domains: StorageDomains) -> None:
    with pytest.raises(StorageError, match="not connected"):
        domains.place(DOMAIN)
    assert domains.facts() == ()


def test_connections_outlive_the_agent(make_domains: Make, local: ConnectedDomain, until: Until) -> None:
    make_domains().connect(local)

    again = make_domains()
    assert again.connected() == {DOMAIN: local}
    assert again.facts()[0].state == "unknown"
    again.start()
    until(lambda: again.facts()[0].state == "active")


def test_a_disconnected_domain_is_forgotten(make_domains: Make, local: ConnectedDomain) -> None:
    domains = make_domains()
    domains.connect(local)
    domains.disconnect(DOMAIN)
    domains.disconnect(DOMAIN)

    assert domains.facts() == ()
    assert make_domains().connected() == {}


def test_another_domain_in_its_place_is_not_connected(
    domains: StorageDomains, local: ConnectedDomain, remote: Path
) -> None:
    (remote / DOMAIN).rename(remote / OTHER)

    with pytest.raises(StorageError, match=f"{DOMAIN} lies in the place of {OTHER}"):
        domains.connect(replace(local, uuid=OTHER))
    assert domains.connected() == {}


def test_a_domain_of_another_data_center_is_not_connected(
    domains: StorageDomains, local: ConnectedDomain
) -> None:
    with pytest.raises(StorageError, match="belongs to data center"):
        domains.connect(replace(local, data_center=OTHER))


@pytest.mark.parametrize("missing", ["", DOMAIN, f"{DOMAIN}/dom_md/metadata"])
def test_a_place_without_domain_is_not_connected(
    domains: StorageDomains, local: ConnectedDomain, remote: Path, missing: str
) -> None:
    (remote / missing).rename(remote.parent / "gone")

    with pytest.raises(DriverError):
        domains.connect(local)
    assert domains.facts() == ()


def test_a_domain_that_goes_bad_and_recovers_is_seen(
    domains: StorageDomains, local: ConnectedDomain, remote: Path, until: Until
) -> None:
    heard: list[str] = []
    domains.connect(local)
    domains.listen(lambda: heard.append(domains.facts()[0].state))
    domains.start()

    remote.rename(remote.parent / "away")
    until(lambda: domains.facts()[0].state == "inactive")
    assert domains.facts()[0].problem
    with pytest.raises(StorageError, match="inactive"):
        domains.answering_place(DOMAIN)

    (remote.parent / "away").rename(remote)
    until(lambda: domains.facts()[0].state == "active")
    until(lambda: heard == ["inactive", "active"])


def test_storage_that_hangs_delays_nobody(
    domains: StorageDomains, local: ConnectedDomain, remote: Path, until: Until
) -> None:
    """A pipe that nobody writes to holds its reader as a lost server would."""
    domains.connect(local)
    (remote / DOMAIN / "dom_md" / "metadata").unlink()
    os.mkfifo(remote / DOMAIN / "dom_md" / "metadata")

    domains.start()
    longest = 0.0
    while domains.facts()[0].state == "active":
        began = time.monotonic()
        domains.facts()
        domains.place(DOMAIN)
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.01)
    assert longest < 0.2
    until(lambda: "did not end" in domains.facts()[0].problem)


def test_a_watch_that_is_itself_stuck_is_found_out(paths: HostPaths, local: ConnectedDomain) -> None:
    now = [1000.0]
    domains = StorageDomains(paths, clock=lambda: now[0])
    domains.connect(local)
    now[0] += 50
    assert domains.facts()[0].state == "active"
    now[0] += 50

    assert domains.facts()[0].state == "inactive"


def test_a_damaged_file_of_connections_is_told_and_not_overwritten(
    paths: HostPaths, make_domains: Make
) -> None:
    (paths.state / "storage.json").write_bytes(b'{"domains": [1]}')

    with pytest.raises(DriverError, match=r"storage\.json"):
        make_domains()


def test_volumes_and_isos_are_found_only_below_their_domain(
    domains: StorageDomains, local: ConnectedDomain, remote: Path
) -> None:
    domains.connect(local)
    image, isos = remote / DOMAIN / "images" / IMAGE, remote / DOMAIN / "images" / ISO_IMAGE
    image.mkdir()
    (image / VOLUME).touch()
    (isos / "debian-12.iso").touch()

    assert domains.volume_path(DOMAIN, IMAGE, VOLUME) == image / VOLUME
    assert domains.iso_path(DOMAIN, "debian-12.iso") == isos / "debian-12.iso"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "-rf", ".hidden", "a\nb"])
def test_names_that_lead_elsewhere_are_refused(
    domains: StorageDomains, local: ConnectedDomain, name: str
) -> None:
    domains.connect(local)

    with pytest.raises(StorageError, match="does not name"):
        domains.iso_path(DOMAIN, name)
    with pytest.raises(StorageError, match="does not name"):
        domains.volume_path(DOMAIN, name, VOLUME)


@pytest.mark.parametrize("kind", ["link", "linked-directory", "fifo", "directory", "missing"])
def test_links_and_odd_files_are_refused(
    domains: StorageDomains, local: ConnectedDomain, remote: Path, kind: str
) -> None:
    domains.connect(local)
    image = remote / DOMAIN / "images" / IMAGE
    match kind:
        case "linked-directory":
            outside = remote.parent / "outside"
            outside.mkdir()
            (outside / VOLUME).touch()
            image.symlink_to(outside)
        case "link":
            image.mkdir()
            (image / VOLUME).symlink_to("/etc/hostname")
        case "fifo":
            image.mkdir()
            os.mkfifo(image / VOLUME)
        case "directory":
            (image / VOLUME).mkdir(parents=True)
        case _:
            pass

    with pytest.raises(StorageError):
        domains.volume_path(DOMAIN, IMAGE, VOLUME)


def test_the_copy_of_a_record_lies_on_another_connected_domain(
    domains: StorageDomains, local: ConnectedDomain, remote: Path
) -> None:
    domains.connect(local)

    assert domains.record_copy(OTHER, DOMAIN, required=True) == remote / DOMAIN
    assert domains.record_copy(DOMAIN, DOMAIN, required=True) is None
    assert domains.record_copy(DOMAIN, None, required=True) is None
    assert domains.record_copy(DOMAIN, OTHER, required=False) is None
    with pytest.raises(StorageError):
        domains.record_copy(DOMAIN, OTHER, required=True)


@pytest.mark.parametrize(
    ("source", "vfs_type", "options"),
    [
        ("/srv", None, ""),
        ("/srv", "fuse", ""),
        ("/srv", "fuse.sshfs", ""),
        ("s:/e", "nfs", "rw\nx"),
        ("s:/e", "nfs", "rw,helper=evil"),
        ("-osuid", "nfs", ""),
        ("--bind", "none", ""),
        ("s:/e\nx", "nfs", ""),
        ("s:/e\x85", "nfs", ""),
        ("srv", "none", ""),
        ("s:/e", "ext4", "ro,bind"),
    ],
)
def test_mounts_that_would_run_programs_or_cannot_be_right_are_refused(
    source: str, vfs_type: str | None, options: str
) -> None:
    assert objection_to_mount(source, vfs_type, options)
    assert objection_to_mount("/srv", "none", "bind") is None
    assert objection_to_mount("s1,s2:/e", "ceph", "") is None


@pytest.mark.parametrize("source", ["-osuid", "", " s:/e", "s:/e\n", "s:/e\x00", "s:/" + 1024 * "e"])
def test_sources_like_options_or_with_control_characters_do_not_even_cross_the_wire(source: str) -> None:
    with pytest.raises(ContractError):
        decode_strict(encode(StorageConnection("posixfs", source, "nfs")), StorageConnection)


def test_a_local_domain_is_never_looked_for_below_the_agents_own_directory(domains: StorageDomains) -> None:
    with pytest.raises(StorageError, match="no absolute path"):
        domains.connect(ConnectedDomain(DOMAIN, CENTER, StorageConnection("localfs", "srv"), 1))


def test_a_domain_is_mounted_and_unmounted(
    privately: Privately, make_domains: Make, bound: ConnectedDomain, paths: HostPaths
) -> None:
    def work() -> None:
        domains = make_domains()
        domains.connect(bound)
        domains.connect(bound)
        assert is_mounted(paths.mounts / DOMAIN)
        assert domains.place(DOMAIN) == paths.mounts / DOMAIN / DOMAIN
        assert (domains.place(DOMAIN) / "master" / "vms").is_dir()

        domains.disconnect(DOMAIN)
        assert not is_mounted(paths.mounts / DOMAIN)
        assert not (paths.mounts / DOMAIN).exists()

    privately(work)


def test_qemu_gets_through_to_what_is_mounted_whatever_the_agents_umask(
    privately: Privately, make_domains: Make, bound: ConnectedDomain, paths: HostPaths
) -> None:
    def work() -> None:
        os.umask(0o077)
        domains = make_domains()
        domains.connect(bound)
        assert paths.mounts.stat().st_mode & 0o777 == 0o711
        domains.disconnect(DOMAIN)

    privately(work)


def test_what_was_mounted_is_mounted_again_after_a_boot_and_left_alone_after_a_restart(
    privately: Privately, make_domains: Make, bound: ConnectedDomain, paths: HostPaths, until: Until
) -> None:
    def work() -> None:
        first = make_domains()
        first.connect(bound)
        first.close()
        unmount_file_system(paths.mounts / DOMAIN, 10_000)

        booted = make_domains()
        booted.start()
        until(lambda: booted.facts()[0].state == "active")
        assert is_mounted(paths.mounts / DOMAIN)
        booted.close()

        with (paths.mounts / DOMAIN / DOMAIN / "images" / "held-open").open("w"):
            restarted = make_domains()
            restarted.start()
            until(lambda: restarted.facts()[0].state == "active")
            with pytest.raises(OperationError, match="busy"):
                restarted.disconnect(DOMAIN)
        assert restarted.connected() == {DOMAIN: bound}
        restarted.disconnect(DOMAIN)

    privately(work)


def test_a_domain_that_is_not_the_one_wanted_is_unmounted_again(
    privately: Privately, make_domains: Make, bound: ConnectedDomain, paths: HostPaths
) -> None:
    def work() -> None:
        domains = make_domains()
        with pytest.raises(StorageError):
            domains.connect(replace(bound, data_center=OTHER))
        assert not is_mounted(paths.mounts / DOMAIN)

    privately(work)


def test_something_else_in_the_mount_point_is_noticed(
    privately: Privately, make_domains: Make, bound: ConnectedDomain, tmp_path: Path
) -> None:
    def work() -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        make_domain(
            elsewhere,
            DomainMetadata(DOMAIN, "POSIXFS", "Master", "a twin", (CENTER,), "/x"),
        )
        domains = make_domains()
        domains.connect(bound)
        with pytest.raises(OperationError, match="something else"):
            domains.connect(
                replace(bound, connection=StorageConnection("posixfs", str(elsewhere), "none", "bind"))
            )

    privately(work)


def test_a_source_that_cannot_be_mounted_says_so(
    privately: Privately, make_domains: Make, bound: ConnectedDomain
) -> None:
    def work() -> None:
        gone = replace(bound, connection=StorageConnection("posixfs", "/nowhere", "none", "bind"))
        with pytest.raises(OperationError, match="/nowhere cannot be mounted"):
            make_domains().connect(gone)

    privately(work)


def test_a_borrowed_root_is_given_back(
    privately: Privately, make_domains: Make, bound: ConnectedDomain, paths: HostPaths
) -> None:
    def work() -> None:
        domains = make_domains()
        with domains.borrowed_root(DOMAIN, bound.connection, 10_000) as root:
            assert is_mounted(root)
        assert not is_mounted(paths.mounts / DOMAIN)

        domains.connect(bound)
        with domains.borrowed_root(DOMAIN, bound.connection, 10_000):
            pass
        assert is_mounted(paths.mounts / DOMAIN)

    privately(work)
