"""Runs: claimed by one host alone, narrowed and closed, found out when they come too late."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.formats import vmrecords as module
from nodeagent.formats.vmrecords import (
    RecordError,
    RunClaimError,
    claim_run,
    close_run,
    read_vm_record,
    settle_run,
    write_vm_record,
)
from nodeagent.wire.records import Run, RunHost, VmRecord

Hosts = tuple[RunHost, RunHost, RunHost]


@pytest.fixture
def written(place: Path, copy: Path, record: VmRecord) -> VmRecord:
    write_vm_record(place, copy, record)
    return record


def run_of(place: Path, vm: str) -> Run | None:
    record = read_vm_record(place, vm)
    assert record is not None
    return record.run


def claims(place: Path, vm: str) -> list[str]:
    return sorted(path.name for path in (place / "master" / "vms" / vm).glob("run.*"))


def test_a_claim_is_in_master_and_copy_when_it_returns(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    claimed = claim_run(place, copy, written.uuid, 1, hosts[:1], "apply/1")

    assert claimed.run == Run(number=1, hosts=hosts[:1])
    assert (claimed.revision, claimed.last_order) == (2, "apply/1")
    for side in (place, copy):
        assert read_vm_record(side, written.uuid) == claimed
        assert claims(side, written.uuid) == ["run.1"]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_claim_must_have_the_next_number(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts, number: int
) -> None:
    claim_run(place, copy, written.uuid, 1, hosts[:1], "k")
    close_run(place, copy, written.uuid, 1, "shutdown", False, "k")

    with pytest.raises(RunClaimError):
        claim_run(place, copy, written.uuid, number, hosts[1:2], "k")


def test_a_vm_that_may_run_cannot_be_claimed(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    claim_run(place, copy, written.uuid, 1, hosts[:1], "k")

    for claimers in (hosts[1:2], hosts[:1], (hosts[1], hosts[0])):
        with pytest.raises(RunClaimError, match="may still run"):
            claim_run(place, copy, written.uuid, 2, claimers, "k")
    assert run_of(place, written.uuid) == Run(number=1, hosts=hosts[:1])


def test_the_same_claim_twice_is_refused_even_with_the_same_key(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    claim_run(place, copy, written.uuid, 1, hosts[:1], "k")

    with pytest.raises(RunClaimError):
        claim_run(place, copy, written.uuid, 1, hosts[:1], "k")


def test_a_migration_names_both_hosts_until_it_is_settled(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    claim_run(place, copy, written.uuid, 1, hosts[:1], "k1")
    moving = claim_run(place, copy, written.uuid, 2, hosts[:2], "k2")
    assert moving.run == Run(number=2, hosts=hosts[:2])

    with pytest.raises(RunClaimError):
        claim_run(place, copy, written.uuid, 3, (hosts[0], hosts[2]), "k3")
    settled = settle_run(place, copy, written.uuid, 2, hosts[1:2])

    assert settled.run == Run(number=2, hosts=hosts[1:2])
    assert settle_run(place, copy, written.uuid, 2, hosts[1:2]) == settled
    assert read_vm_record(copy, written.uuid) == settled


def test_a_run_is_never_widened_by_settling(place: Path, copy: Path, written: VmRecord, hosts: Hosts) -> None:
    claim_run(place, copy, written.uuid, 1, hosts[:1], "k")

    for wider in (hosts[:2], hosts[1:2], ()):
        with pytest.raises(RunClaimError):
            settle_run(place, copy, written.uuid, 1, wider)


def test_closing_keeps_the_first_reason(place: Path, copy: Path, written: VmRecord, hosts: Hosts) -> None:
    claim_run(place, copy, written.uuid, 1, hosts[:1], "k")
    closed = close_run(place, copy, written.uuid, 1, "stopped", True, "k2")

    assert closed.run == Run(1, hosts[:1], closed="stopped", stopped_by_manifest=True)
    assert closed.last_order == "k2"
    assert close_run(place, copy, written.uuid, 1, "crashed", False, "k3") == closed
    with pytest.raises(RunClaimError):
        settle_run(place, copy, written.uuid, 1, hosts[:1])


def test_only_the_last_run_can_be_closed(place: Path, copy: Path, written: VmRecord, hosts: Hosts) -> None:
    with pytest.raises(RunClaimError):
        close_run(place, copy, written.uuid, 1, "shutdown", False, "k")
    claim_run(place, copy, written.uuid, 1, hosts[:1], "k")
    claim_run(place, copy, written.uuid, 2, hosts[:2], "k")

    with pytest.raises(RunClaimError):
        close_run(place, copy, written.uuid, 1, "shutdown", False, "k")


def test_claims_are_kept_until_a_higher_run_is_closed(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    for number in (1, 2):
        claim_run(place, copy, written.uuid, number, hosts[:1], "k")
        close_run(place, copy, written.uuid, number, "shutdown", False, "k")
    claim_run(place, copy, written.uuid, 3, hosts[:1], "k")

    assert claims(place, written.uuid) == ["run.2", "run.3"]


def test_a_claimer_whose_number_is_long_closed_withdraws(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claimer reads the record, sleeps while two runs come and go, and finds its number free again."""
    original = module.create_run

    def late(side: Path, vm: str, claim: module.RunFile) -> None:
        monkeypatch.setattr(module, "create_run", original)
        for number in (1, 2):
            claim_run(place, None, vm, number, hosts[:1], "other")
            close_run(place, None, vm, number, "shutdown", False, "other")
        original(side, vm, claim)

    monkeypatch.setattr(module, "create_run", late)
    with pytest.raises(RunClaimError, match="too late"):
        claim_run(place, None, written.uuid, 1, hosts[1:2], "late")
    assert claims(place, written.uuid) == ["run.2"]
    run = run_of(place, written.uuid)
    assert run is not None
    assert (run.number, run.closed) == (2, "shutdown")


def test_a_removed_vm_cannot_be_claimed(place: Path, copy: Path, written: VmRecord, hosts: Hosts) -> None:
    write_vm_record(place, copy, replace(written, revision=2, removed=True))

    with pytest.raises(RunClaimError, match="removed"):
        claim_run(place, copy, written.uuid, 1, hosts[:1], "k")


def test_a_run_names_at_least_one_host(place: Path, copy: Path, written: VmRecord) -> None:
    with pytest.raises(RunClaimError, match="no host"):
        claim_run(place, copy, written.uuid, 1, (), "k")


def test_a_vm_without_record_cannot_be_claimed(place: Path, record: VmRecord, hosts: Hosts) -> None:
    with pytest.raises(RunClaimError, match="no record"):
        claim_run(place, None, record.uuid, 1, hosts[:1], "k")


def test_nothing_is_claimed_when_the_copy_cannot_be_written(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    (copy / "master").rename(copy / "gone")

    with pytest.raises(RecordError):
        claim_run(place, copy, written.uuid, 1, hosts[:1], "k")
    assert run_of(place, written.uuid) is None
    assert claims(place, written.uuid) == []


def test_a_run_is_closed_although_the_copy_is_gone_and_the_copy_catches_up(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    claim_run(place, copy, written.uuid, 1, hosts[:1], "k")
    (copy / "master").rename(copy / "gone")
    closed = close_run(place, copy, written.uuid, 1, "crashed", False, "k")
    assert read_vm_record(place, written.uuid) == closed

    (copy / "gone").rename(copy / "master")
    claimed = claim_run(place, copy, written.uuid, 2, hosts[1:2], "k")
    assert read_vm_record(copy, written.uuid) == claimed


def test_a_claim_that_only_the_copy_knows_blocks_the_start(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    claim_run(copy, None, written.uuid, 1, hosts[2:3], "k")

    with pytest.raises(RunClaimError):
        claim_run(place, copy, written.uuid, 1, hosts[:1], "k")


def test_the_lease_of_a_run_is_kept(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts, make_place: Callable[[str], Path]
) -> None:
    claimed = claim_run(place, copy, written.uuid, 1, hosts[:1], "k", lease=True)

    assert claimed.run is not None
    assert claimed.run.lease
    assert run_of(copy, written.uuid) == claimed.run


def test_ends_in_a_row_are_kept_over_a_claim_and_a_failed_start_and_end_with_a_stop(
    place: Path, copy: Path, written: VmRecord, hosts: Hosts
) -> None:
    def end(number: int, reason: str, ends: int | None = None) -> int | None:
        claim_run(place, copy, written.uuid, number, hosts[:1], "k")
        return close_run(place, copy, written.uuid, number, reason, False, "k", ends).ends  # type: ignore[arg-type]

    assert end(1, "crashed", 1) == 1
    assert end(2, "failed") == 1
    assert end(3, "crashed", 2) == 2
    assert end(4, "stopped") is None
