"""Claimers and writers in several processes: one wins each round, and nothing that was written is lost."""

import os
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodeagent.formats.vmrecords import (
    RecordConflictError,
    RecordError,
    RunClaimError,
    claim_run,
    close_run,
    read_vm_record,
    write_vm_record,
)
from nodeagent.wire.records import RunHost, VmRecord

ROUNDS = 120
Hosts = tuple[RunHost, RunHost, RunHost]


def race(racers: int, work: Callable[[int], object]) -> None:
    """Run `work(0..racers-1)` in processes that begin together; all must end well."""
    start = time.monotonic() + 0.05
    children = []
    for number in range(racers):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                while time.monotonic() < start:
                    pass
                work(number)
                status = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert statuses == [0] * racers


def test_of_two_claimers_exactly_one_wins_each_round(
    place: Path, copy: Path, record: VmRecord, hosts: Hosts, tmp_path: Path
) -> None:
    write_vm_record(place, copy, record)

    def claim_all(me: int) -> None:
        won = []
        for number in range(1, ROUNDS + 1):
            try:
                claim_run(place, copy, record.uuid, number, (hosts[me],), f"{me}/{number}")
            except RunClaimError:
                await_end(number)
            else:
                won.append(number)
                close_run(place, copy, record.uuid, number, "shutdown", False, "")
                (tmp_path / f"ended-{number}").touch()
        (tmp_path / f"won-{me}").write_text(" ".join(map(str, won)))

    def await_end(number: int) -> None:
        deadline = time.monotonic() + 60
        while not (tmp_path / f"ended-{number}").exists():
            assert time.monotonic() < deadline, f"nobody won round {number}"
            time.sleep(0.0005)

    race(2, claim_all)

    won = [set((tmp_path / f"won-{me}").read_text().split()) for me in (0, 1)]
    assert won[0] | won[1] == {str(number) for number in range(1, ROUNDS + 1)}
    assert not won[0] & won[1]


def test_of_two_claimers_of_one_run_exactly_one_wins(
    make_place: Callable[[str], Path], record: VmRecord, hosts: Hosts, tmp_path: Path
) -> None:
    """A fresh record each round, and nobody closes anything: the plainest form of two starts of one VM."""
    places = [make_place(f"round-{number}") for number in range(ROUNDS)]
    for place in places:
        write_vm_record(place, None, record)

    def claim_each(me: int) -> None:
        won = []
        for number, place in enumerate(places):
            try:
                claim_run(place, None, record.uuid, 1, (hosts[me],), str(me))
                won.append(number)
            except RunClaimError:
                pass
        (tmp_path / f"won-{me}").write_text(" ".join(map(str, won)))

    race(3, claim_each)

    won = [(tmp_path / f"won-{me}").read_text().split() for me in range(3)]
    assert sorted(number for wins in won for number in map(int, wins)) == list(range(ROUNDS))
    for me, wins in enumerate(won):
        for number in map(int, wins):
            found = read_vm_record(places[number], record.uuid)
            assert found is not None
            assert found.run is not None
            assert found.run.hosts == (hosts[me],)


def test_of_two_writers_of_one_revision_one_is_told_that_it_lost(
    place: Path, record: VmRecord, tmp_path: Path
) -> None:
    write_vm_record(place, None, record)

    def write_all(me: int) -> None:
        won: list[int] = []
        unsettled: list[int] = []
        while (current := read_vm_record(place, record.uuid)) is not None and current.revision < ROUNDS:
            next_one = replace(current, revision=current.revision + 1, last_order=str(me))
            try:
                write_vm_record(place, None, next_one)
                won.append(next_one.revision)
            except RecordConflictError as error:
                if not error.settled:
                    unsettled.append(next_one.revision)
        (tmp_path / f"unsettled-{me}").write_text(" ".join(map(str, unsettled)))
        (tmp_path / f"won-{me}").write_text(" ".join(map(str, won)))

    race(3, write_all)

    won, unsettled = (
        [int(word) for me in range(3) for word in (tmp_path / f"{name}-{me}").read_text().split()]
        for name in ("won", "unsettled")
    )
    assert len(set(won)) == len(won)
    assert set(won) | set(unsettled) == set(range(2, ROUNDS + 1))


def test_readers_never_see_a_revision_go_back_or_a_record_vanish(
    place: Path, record: VmRecord, following: Any
) -> None:
    write_vm_record(place, None, record)

    def work(me: int) -> None:
        if me == 0:
            written = record
            for _ in range(ROUNDS * 2):
                written = following(written)
                write_vm_record(place, None, written)
            return
        seen = 0
        while seen < ROUNDS * 2 + 1:
            try:
                found = read_vm_record(place, record.uuid)
            except RecordError as error:
                raise AssertionError("unreadable while it was written") from error
            assert found is not None
            assert found.revision >= seen
            seen = found.revision

    race(3, work)
