"""Orders about VM records: the next revision, the end of a run with proof, a tombstone with consent."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.drivers.mounts import mount_file_system
from nodeagent.formats.domainlayout import make_domain
from nodeagent.formats.domainmetadata import DomainMetadata
from nodeagent.formats.vmrecords import claim_run, read_vm_record, write_vm_record
from nodeagent.host import Host
from nodeagent.operations import record_exit, record_remove, record_write
from nodeagent.storagefile import ConnectedDomain
from nodeagent.wire.arguments import RecordExit, RemoveVm, StorageConnection, WriteVmRecord
from nodeagent.wire.orders import Evidence, HostEvidence
from nodeagent.wire.records import RunHost, VmRecord
from tests.unit.nodeagent.storage.vms import CENTER, MASTER, RECORD, SECOND, VM

OLD_BOOT = "0000b007-2222-4333-8444-555555555555"
NEW_BOOT = "1111b007-2222-4333-8444-555555555555"
HERE = RunHost("aaaaaaaa-2222-4333-8444-555555555555", OLD_BOOT)
THERE = RunHost("cccccccc-2222-4333-8444-555555555555", OLD_BOOT)

Order = Callable[..., str]
WRITE, EXIT, REMOVE = record_write.OPERATION, record_exit.OPERATION, record_remove.OPERATION


def write(record: VmRecord) -> WriteVmRecord:
    return WriteVmRecord(MASTER, record)


def test_a_record_is_written_to_master_and_copy(master: Path, copy: Path, order: Order) -> None:
    assert order(WRITE, write(RECORD)) == ""
    assert order(WRITE, write(RECORD)) == ""
    second = replace(RECORD, revision=2, macs={"eth0": "52:54:00:00:00:01"})
    assert order(WRITE, write(second)) == ""

    assert read_vm_record(master, VM) == read_vm_record(copy, VM) == second


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"revision": 1, "cpu_model": "other"}, "revision 1"),
        ({"revision": 4}, "revision 1"),
        ({"revision": 2, "removed": True}, "only remove-vm"),
        ({"revision": 2, "data_center": SECOND}, "belongs to data center"),
    ],
)
def test_a_record_that_does_not_follow_is_refused(
    master: Path, copy: Path, order: Order, changes: dict[str, Any], words: str
) -> None:
    order(WRITE, write(RECORD))

    assert words in order(WRITE, write(replace(RECORD, **changes)))
    assert read_vm_record(master, VM) == RECORD


def test_a_run_is_not_closed_by_rewriting_the_record(master: Path, copy: Path, order: Order) -> None:
    order(WRITE, write(RECORD))
    claimed = claim_run(master, copy, VM, 1, (THERE,), "k")

    assert "last run" in order(WRITE, write(replace(claimed, revision=3, run=None)))
    assert order(WRITE, write(replace(claimed, revision=3))) == ""


def test_without_the_domain_of_its_copy_a_record_is_not_written(master: Path, order: Order) -> None:
    assert "not connected" in order(WRITE, write(RECORD))
    assert read_vm_record(master, VM) is None


def test_records_are_written_to_a_master_domain_only(master: Path, copy: Path, order: Order) -> None:
    assert "not a master" in order(WRITE, WriteVmRecord(SECOND, replace(RECORD, copy_domain=None)))


def test_a_damaged_record_is_not_written_over(master: Path, copy: Path, order: Order) -> None:
    order(WRITE, write(RECORD))
    (master / "master/vms" / VM / "ostler.json").write_bytes(b"{}")

    assert "damaged" in order(WRITE, write(replace(RECORD, revision=2)))
    assert "damaged" in order(WRITE, write(RECORD))


@pytest.fixture
def running(master: Path, copy: Path) -> Callable[..., VmRecord]:
    def make(*hosts: RunHost, **changes: Any) -> VmRecord:
        write_vm_record(master, copy, replace(RECORD, **changes))
        claim_run(master, copy, VM, 1, hosts[:1], "k")
        if len(hosts) > 1:
            claim_run(master, copy, VM, 2, hosts, "k")
        record = read_vm_record(master, VM)
        assert record is not None
        return record

    return make


def ended(number: int = 1, **changes: Any) -> RecordExit:
    return replace(RecordExit(MASTER, VM, number, "shutdown"), **changes)


def proof(host: RunHost, kind: Any = "answered", boot_id: str | None = OLD_BOOT) -> Evidence:
    return Evidence("hosts", 1, (HostEvidence(host.uuid, kind, boot_id, 7),))


def run_of(place: Path) -> Any:
    record = read_vm_record(place, VM)
    assert record is not None
    return record.run


def test_a_run_on_this_host_is_closed_once_it_is_gone_from_here(
    running: Callable[..., VmRecord], order: Order, hypervisor: Any, host: Host, master: Path, copy: Path
) -> None:
    running(HERE)
    hypervisor.run(VM)
    assert "runs on this host" in order(EXIT, ended())

    hypervisor.xml.clear()
    assert order(EXIT, ended(reason="crashed"), key="apply/exit") == ""
    assert run_of(master).closed == run_of(copy).closed == "crashed"
    assert order(EXIT, ended()) == ""
    assert run_of(master).closed == "crashed"


def test_a_run_on_another_host_is_closed_only_with_proof(
    running: Callable[..., VmRecord], order: Order, master: Path
) -> None:
    running(THERE)

    assert "nothing proves" in order(EXIT, ended(), evidence=None)
    assert "nothing proves" in order(EXIT, ended(), evidence=proof(HERE))
    assert "nothing proves" in order(EXIT, ended(), evidence=proof(THERE, "boot-changed", OLD_BOOT))
    assert "nothing proves" in order(EXIT, ended(), evidence=proof(THERE, "boot-changed", None))
    for kind in ("fenced", "confirmed"):
        for boot_id in (None, NEW_BOOT):
            assert "nothing proves" in order(EXIT, ended(), evidence=proof(THERE, kind, boot_id))
    assert run_of(master).closed is None
    assert order(EXIT, ended(), evidence=proof(THERE, "boot-changed", NEW_BOOT)) == ""
    assert run_of(master).closed == "shutdown"


@pytest.mark.parametrize("kind", ["fenced", "confirmed"])
def test_a_run_on_a_host_proven_off_in_its_boot_is_closed(
    running: Callable[..., VmRecord], order: Order, master: Path, kind: Any
) -> None:
    running(THERE)

    assert order(EXIT, ended(), evidence=proof(THERE, kind)) == ""
    assert run_of(master).closed == "shutdown"


def test_a_broken_migration_needs_proof_for_the_other_end(
    running: Callable[..., VmRecord], order: Order, master: Path
) -> None:
    running(HERE, THERE)

    assert "nothing proves" in order(EXIT, ended(2), evidence=None)
    assert order(EXIT, ended(2, stopped_by_manifest=True), evidence=proof(THERE)) == ""
    assert run_of(master).stopped_by_manifest


def test_only_the_last_run_is_closed(running: Callable[..., VmRecord], order: Order) -> None:
    running(HERE, THERE)

    assert "last run is 2, not 1" in order(EXIT, ended(1))
    assert "last run is 2, not 3" in order(EXIT, ended(3))


def test_a_run_is_closed_although_the_copy_is_out_of_reach(
    running: Callable[..., VmRecord], order: Order, host: Host, master: Path
) -> None:
    running(HERE)
    host.storage.disconnect(SECOND)

    assert order(EXIT, ended()) == ""
    assert run_of(master).closed == "shutdown"


def test_a_vm_is_removed_with_consent_and_its_tombstone_stays(
    master: Path, copy: Path, order: Order, running: Callable[..., VmRecord]
) -> None:
    record = running(HERE, allow_destroy=VM)
    assert "is open" in order(REMOVE, RemoveVm(MASTER, VM))
    order(EXIT, ended())

    assert order(REMOVE, RemoveVm(MASTER, VM), key="apply/remove") == ""
    assert order(REMOVE, RemoveVm(MASTER, VM)) == ""
    tombstone = read_vm_record(master, VM)
    assert tombstone is not None
    assert (tombstone.removed, tombstone.allow_destroy, tombstone.incarnation) == (True, None, 1)
    assert tombstone.last_order == "apply/remove"
    assert read_vm_record(copy, VM) == tombstone
    assert "tombstone stays" in order(WRITE, write(replace(record, revision=tombstone.revision + 1)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "nobody has consented"),
        ({"allow_destroy": MASTER}, "nobody has consented"),
        ({"allow_destroy": VM, "managed": False}, "not managed"),
    ],
)
def test_a_vm_without_consent_or_not_managed_is_not_removed(
    master: Path, copy: Path, order: Order, changes: dict[str, Any], words: str
) -> None:
    record = replace(RECORD, **changes)
    write_vm_record(master, copy, record)

    assert words in order(REMOVE, RemoveVm(MASTER, VM))
    assert read_vm_record(master, VM) == record


def test_a_vm_that_runs_here_unknown_to_its_record_is_not_removed(
    master: Path, copy: Path, order: Order, hypervisor: Any
) -> None:
    write_vm_record(master, copy, replace(RECORD, allow_destroy=VM))
    hypervisor.run(VM)

    assert "runs on this host" in order(REMOVE, RemoveVm(MASTER, VM))


def test_a_full_disk_leaves_the_old_record_and_fails_cleanly(
    privately: Callable[[Callable[[], object]], None], host: Host, order: Order, tmp_path: Path
) -> None:
    """A real file system of half a megabyte, filled to the last byte."""

    def work() -> None:
        small = tmp_path / "small"
        small.mkdir()
        mount_file_system("tmpfs", small, "tmpfs", "size=512k", 10_000)
        metadata = DomainMetadata(MASTER, "LOCALFS", "Master", "small", (CENTER,), "/x")
        make_domain(small, metadata)
        connection = StorageConnection("localfs", str(small))
        host.storage.connect(ConnectedDomain(MASTER, CENTER, connection, 1))
        record = replace(RECORD, copy_domain=None)
        assert order(WRITE, write(record)) == ""
        fill(small / "ballast")

        second = replace(record, revision=2, macs={"eth0": "52:54:00:00:00:01"})
        assert "No space left" in order(WRITE, write(second))
        assert read_vm_record(small / MASTER, VM) == record
        names = os.listdir(small / MASTER / "master/vms" / VM)
        assert sorted(names) == ["ostler.json", "ostler.json.1"]

        (small / "ballast").unlink()
        assert order(WRITE, write(second)) == ""

    privately(work)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
