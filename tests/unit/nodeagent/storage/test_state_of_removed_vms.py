"""What removed VMs kept besides their disks: set aside with the VM, shown in facts, deleted once its days are over."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.facts.storage import StorageReader, list_kept
from nodeagent.formats.keptstate import tpm_shelf
from nodeagent.formats.vmrecords import read_vm_record, write_vm_record
from nodeagent.host import Host
from nodeagent.operations import record_remove, vm_purge
from nodeagent.wire.arguments import PurgeVm, RemoveVm
from nodeagent.wire.records import VmRecord
from tests.unit.nodeagent.storage.vms import MASTER, RECORD, SECOND, VM

OTHER = VM.replace("1", "2")
DAY_MS = 86_400_000

Order = Callable[..., str]
REMOVE, PURGE = record_remove.OPERATION, vm_purge.OPERATION


@pytest.fixture
def state(master: Path, copy: Path, host: Host) -> list[Path]:
    """What VMs with UEFI and TPM leave: of the one to remove, and of another one."""
    firmware = [place / "master/firmware" / f"{vm}.fd" for place in (master, copy) for vm in (VM, OTHER)]
    for file in firmware:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"boot order")
    tpm = [host.paths.tpm_state / vm / "tpm2" / "tpm2-00.permall" for vm in (VM, OTHER)]
    for file in tpm:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"keys")
    return [*firmware, *tpm]


def test_what_a_removed_vm_kept_besides_its_disks_is_set_aside_and_not_lost(
    master: Path, copy: Path, host: Host, order: Order, state: list[Path]
) -> None:
    write_vm_record(master, copy, replace(RECORD, allow_destroy=VM))
    assert order(REMOVE, RemoveVm(MASTER, VM)) == ""

    own, others = state[::2], state[1::2]
    assert not any(path.exists() for path in own)
    assert all(path.exists() for path in others)
    for place in (master, copy):
        assert (place / "master/firmware" / f"_remove_me_{VM}.fd").read_bytes() == b"boot order"
    kept = host.paths.tpm_state / f"_remove_me_{VM}" / "tpm2" / "tpm2-00.permall"
    assert kept.read_bytes() == b"keys"
    assert order(REMOVE, RemoveVm(MASTER, VM)) == ""


def test_a_removal_that_died_before_the_vms_state_was_set_aside_is_completed(
    master: Path, copy: Path, host: Host, order: Order, state: list[Path], control: Any
) -> None:
    write_vm_record(master, copy, replace(RECORD, removed=True))
    assert REMOVE.recover(host, RemoveVm(MASTER, VM), control) is True
    assert not any(path.exists() for path in state[::2])


def test_a_removal_that_died_before_the_tombstone_has_set_nothing_aside(
    master: Path, copy: Path, host: Host, state: list[Path], control: Any
) -> None:
    write_vm_record(master, copy, replace(RECORD, allow_destroy=VM))
    assert REMOVE.recover(host, RemoveVm(MASTER, VM), control) is False
    assert all(path.exists() for path in state)


def test_no_link_leads_a_removal_out_of_its_directory(
    master: Path, copy: Path, order: Order, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{VM}.fd").write_bytes(b"precious")
    (master / "master/firmware").symlink_to(tmp_path / "elsewhere")
    write_vm_record(master, copy, replace(RECORD, allow_destroy=VM))

    assert "not set aside" in order(REMOVE, RemoveVm(MASTER, VM))
    assert (tmp_path / "elsewhere" / f"{VM}.fd").exists()


def test_what_the_removal_did_not_reach_is_set_aside_when_it_is_asked_again(
    master: Path, copy: Path, host: Host, order: Order, state: list[Path]
) -> None:
    write_vm_record(master, copy, replace(RECORD, removed=True))

    assert order(REMOVE, RemoveVm(MASTER, VM)) == ""
    assert not any(path.exists() for path in state[::2])
    assert read_vm_record(master, VM) == replace(RECORD, removed=True)


def test_nothing_is_set_aside_under_a_guest_that_runs_all_the_same(
    master: Path, copy: Path, order: Order, state: list[Path], hypervisor: Any
) -> None:
    write_vm_record(master, copy, replace(RECORD, removed=True))
    hypervisor.run(VM)

    assert "runs on this host" in order(REMOVE, RemoveVm(MASTER, VM))
    assert all(path.exists() for path in state)


def test_facts_tell_what_vms_keep_and_what_is_set_aside(
    master: Path, copy: Path, host: Host, order: Order, state: list[Path]
) -> None:
    (master / "master/firmware/notes.txt").write_text("not of a VM")
    write_vm_record(master, copy, replace(RECORD, allow_destroy=VM))
    assert told(host) == [((VM, OTHER), ())] * 3

    assert order(REMOVE, RemoveVm(MASTER, VM)) == ""
    assert told(host) == [((OTHER,), (VM,))] * 3


def test_where_no_vm_keeps_anything_facts_tell_nothing(master: Path, copy: Path, host: Host) -> None:
    assert told(host) == [((), ())] * 3


def told(host: Host) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Of master, second domain and host: who keeps something there, and of whom it is set aside."""
    reader = StorageReader(host.storage)
    contents = [reader.read(domain) for domain in (MASTER, SECOND)]
    assert all(one is not None and one.complete for one in contents)
    domains = [(one.kept, one.set_aside) for one in contents if one is not None]
    return [*domains, list_kept(tpm_shelf(host.paths.tpm_state))]


@pytest.fixture
def removed(master: Path, copy: Path, order: Order, state: list[Path]) -> VmRecord:
    """The tombstone of the VM, its state set aside just now."""
    write_vm_record(master, copy, replace(RECORD, allow_destroy=VM))
    assert order(REMOVE, RemoveVm(MASTER, VM)) == ""
    record = read_vm_record(master, VM)
    assert record is not None
    return record


def age(master: Path, copy: Path, record: VmRecord, by_ms: int) -> VmRecord:
    """The tombstone as if the VM had been removed so much earlier."""
    assert record.removed_at_ms is not None
    aged = replace(record, removed_at_ms=record.removed_at_ms - by_ms, revision=record.revision + 1)
    write_vm_record(master, copy, aged)
    return aged


def purge(retention_ms: int = DAY_MS) -> PurgeVm:
    return PurgeVm(MASTER, VM, retention_ms)


def test_what_is_set_aside_goes_only_after_its_days_and_the_tombstone_stays(
    removed: VmRecord, master: Path, copy: Path, host: Host, order: Order, state: list[Path]
) -> None:
    assert "stays for" in order(PURGE, purge())
    assert told(host) == [((OTHER,), (VM,))] * 3

    aged = age(master, copy, removed, DAY_MS)
    assert order(PURGE, purge()) == ""
    assert order(PURGE, purge()) == ""
    assert told(host) == [((OTHER,), ())] * 3
    assert not list(host.paths.tpm_state.glob(f"*{VM}*"))
    assert read_vm_record(master, VM) == read_vm_record(copy, VM) == aged


def test_a_vm_removed_in_the_future_is_not_purged(
    removed: VmRecord, master: Path, copy: Path, order: Order
) -> None:
    age(master, copy, removed, -DAY_MS)

    assert "clock" in order(PURGE, purge(0))


@pytest.mark.parametrize(
    ("changes", "why"),
    [({}, "is not marked removed"), ({"removed": True}, "does not say when")],
    ids=["not removed", "nobody knows when"],
)
def test_only_what_was_removed_at_a_known_time_is_purged(
    master: Path, copy: Path, host: Host, order: Order, state: list[Path], changes: dict[str, Any], why: str
) -> None:
    write_vm_record(master, copy, replace(RECORD, **changes))

    assert why in order(PURGE, purge(0))
    assert all(path.exists() for path in state)


def test_no_link_leads_a_purge_out_of_its_directory(
    removed: VmRecord, master: Path, copy: Path, host: Host, order: Order, tmp_path: Path
) -> None:
    age(master, copy, removed, DAY_MS)
    precious = tmp_path / "elsewhere" / "precious"
    precious.parent.mkdir()
    precious.write_bytes(b"precious")
    kept = host.paths.tpm_state / f"_remove_me_{VM}"
    (kept / "link").symlink_to(precious.parent)

    assert order(PURGE, purge()) == ""
    assert not kept.exists()
    assert precious.exists()


def test_a_purge_that_died_in_the_middle_is_found_not_done_and_completed(
    removed: VmRecord, master: Path, copy: Path, host: Host, order: Order, control: Any
) -> None:
    age(master, copy, removed, DAY_MS)
    (master / "master/firmware" / f"_remove_me_{VM}.fd").unlink()

    assert PURGE.recover(host, purge(), control) is False
    assert order(PURGE, purge()) == ""
    assert PURGE.recover(host, purge(), control) is True
