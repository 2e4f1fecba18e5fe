"""Writers that die or fail at any system call leave the old record or the new one, and never lose an open run."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.formats.vmrecords import (
    RecordError,
    claim_run,
    close_run,
    read_vm_record,
    settle_run,
    write_vm_record,
)
from nodeagent.wire.records import Run, RunHost, VmRecord


@dataclass(frozen=True)
class Case:
    """A write to interrupt: what comes before it, the write, and the runs that readers may find afterwards."""

    before: Callable[["World"], None]
    act: Callable[["World"], object]


@dataclass(frozen=True)
class World:
    place: Path
    copy: Path
    record: VmRecord
    hosts: tuple[RunHost, RunHost, RunHost]

    def claim(self, number: int, hosts: tuple[RunHost, ...]) -> VmRecord:
        return claim_run(self.place, self.copy, self.record.uuid, number, hosts, f"claim-{number}")

    def close(self, number: int) -> VmRecord:
        return close_run(self.place, self.copy, self.record.uuid, number, "shutdown", False, "close")

    def read(self, side: Path) -> VmRecord | None:
        return read_vm_record(side, self.record.uuid)

    def highest(self) -> VmRecord | None:
        sides = [record for record in (self.read(self.place), self.read(self.copy)) if record]
        return max(sides, key=lambda record: record.revision, default=None)


def nothing(_world: World) -> None:
    return


def written(world: World) -> None:
    write_vm_record(world.place, world.copy, world.record)


def running(world: World) -> None:
    written(world)
    world.claim(1, world.hosts[:1])


def moving(world: World) -> None:
    running(world)
    world.claim(2, world.hosts[:2])


CASES: dict[str, Case] = {
    "first-write": Case(nothing, written),
    "next-write": Case(
        written,
        lambda world: write_vm_record(
            world.place, world.copy, replace(world.record, revision=2, cpu_model="max")
        ),
    ),
    "claim": Case(written, lambda world: world.claim(1, world.hosts[:1])),
    "claim-for-migration": Case(running, lambda world: world.claim(2, world.hosts[:2])),
    "settle": Case(
        moving,
        lambda world: settle_run(world.place, world.copy, world.record.uuid, 2, world.hosts[1:2]),
    ),
    "close": Case(moving, lambda world: world.close(2)),
}


@pytest.fixture
def world(place: Path, copy: Path, record: VmRecord, hosts: Any) -> World:
    return World(place, copy, record, hosts)


class Rewind:
    """Puts the two domains back to what they were, between one interruption and the next."""

    def __init__(self, world: World, tmp_path: Path) -> None:
        self._world = world
        self._kept = tmp_path / "kept"
        for side in (world.place, world.copy):
            shutil.copytree(side, self._kept / side.name)

    def __call__(self) -> None:
        for side in (self._world.place, self._world.copy):
            shutil.rmtree(side)
            shutil.copytree(self._kept / side.name, side)


def content(record: VmRecord | None) -> VmRecord | None:
    """What a record says beside its run."""
    return replace(record, run=None, revision=0, last_order="") if record else None


def assert_old_or_new(found: VmRecord | None, old: VmRecord | None, new: VmRecord | None) -> None:
    assert content(found) in (content(old), content(new))
    assert (found.run if found else None) in (old.run if old else None, new.run if new else None)


def alive_on(record: VmRecord | None) -> set[str]:
    run: Run | None = record.run if record else None
    return {host.uuid for host in run.hosts} if run and run.closed is None else set()


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_killed_writer_leaves_the_old_or_the_new(
    name: str, world: World, tmp_path: Path, interrupter: Any
) -> None:
    case = CASES[name]
    case.before(world)
    old, rewind = world.highest(), Rewind(world, tmp_path)
    case.act(world)
    new = world.highest()

    step = 0
    while True:
        rewind()
        step += 1
        killed = interrupter.kill_at(step, lambda: case.act(world))
        for side in (world.place, world.copy):
            assert_old_or_new(world.read(side), old, new)
        if not killed:
            break
    assert step > 15
    assert world.highest() == new


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_a_killed_writer_began_can_be_done_again_or_settled(
    name: str, world: World, tmp_path: Path, interrupter: Any
) -> None:
    case = CASES[name]
    case.before(world)
    rewind = Rewind(world, tmp_path)

    step, killed = 0, True
    while killed:
        rewind()
        step += 1
        killed = interrupter.kill_at(step, lambda: case.act(world))
        found = world.read(world.place)
        if found is None or found.run is None or found.run.closed is not None:
            written_now = world.highest() or world.record
            write_vm_record(world.place, world.copy, written_now)
        else:
            world.close(found.run.number)
        last = world.highest()
        assert last is not None
        claimed = world.claim(last.run.number + 1 if last.run else 1, world.hosts[2:])
        assert world.read(world.place) == world.read(world.copy) == claimed


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.ESTALE])
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_failing_call_is_a_record_error_and_leaves_the_old_or_the_new(
    name: str, code: int, world: World, tmp_path: Path, interrupter: Any
) -> None:
    case = CASES[name]
    case.before(world)
    old, rewind = world.highest(), Rewind(world, tmp_path)
    case.act(world)
    new = world.highest()

    step, reached = 0, True
    while reached:
        rewind()
        step += 1
        try:
            reached = interrupter.fail_at(step, lambda: case.act(world), code)
            returned = True
        except RecordError:
            returned = False
        found = world.read(world.place)
        assert_old_or_new(found, old, new)
        if returned:
            assert_counts_as_done(name, world, new)
    assert world.highest() == new


def assert_counts_as_done(name: str, world: World, new: VmRecord | None) -> None:
    """A writer that returned has made it so; a claim also on the copy, for the day when the master is lost."""
    assert world.read(world.place) == new
    if name.startswith("claim"):
        assert alive_on(world.read(world.copy)) == alive_on(new)


def test_contents_are_durable_before_they_get_their_name_and_the_name_before_the_return(
    world: World, interrupter: Any
) -> None:
    written(world)
    calls = interrupter.trace(lambda: world.claim(1, world.hosts[:1]))

    for position, call in enumerate(calls):
        if call == "link":
            assert "fsync" in calls[position - 3 : position], calls
            assert "fsync" in calls[position + 1 :], calls
    assert calls.count("link") == 4


def test_a_new_file_of_a_writer_long_dead_is_cleared_away(world: World) -> None:
    written(world)
    directory = world.place / "master" / "vms" / world.record.uuid
    for name, age in (("old", 7200), ("young", 0)):
        file = directory / f".ostler-new-{name}"
        file.write_bytes(b"")
        at = file.stat().st_mtime - age
        os.utime(file, (at, at))
    write_vm_record(world.place, world.copy, replace(world.record, revision=2))

    assert [path.name for path in directory.glob(".ostler-new-*")] == [".ostler-new-young"]
