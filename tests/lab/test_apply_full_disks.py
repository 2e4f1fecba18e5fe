"""Disks that fill up under the journal and under an agent's ledger: no order is sent, or none is taken; nothing is lost."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.lab.inside import run_in
from reconciler.lab.services import start_agent, stop_agent
from tests.lab.apply_estate import AGENT_STATE, SLOW_MIGRATION, Estate, finish, other_home, wait_for

FILL = """
def fill(path):
    with open(path, "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
"""
FILL_AFTER_LINES = """
from reconciler.store.journal import Journal
write, lines = Journal._write, []
def filling(self, *args, **named):
    write(self, *args, **named)
    lines.append(1)
    if len(lines) == {lines}:
        fill({filler!r})
Journal._write = filling
"""


@pytest.fixture
def tiny_home(estate: Estate, tmp_path: Path) -> Iterator[Path]:
    """An installation on a file system of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        yield other_home(estate.home, disk / "home")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(path: Path) -> None:
    subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=4k"], check=False, capture_output=True)


def accepted(estate: Estate) -> int:
    """How many orders the agents have taken."""
    return sum(estate.agent_log(host.name).count(" accepted ") for host in estate.lab.hosts)


def test_no_order_is_sent_while_the_disk_of_the_journal_is_full(estate: Estate, tiny_home: Path) -> None:
    vm = estate.declare_vm("unjournaled", disk=None)
    filler, before = tiny_home / "filler", accepted(estate)
    fill(filler)
    refused = estate.ostler("apply", "-f", str(estate.write()), "--yes", home=tiny_home)
    assert refused.status in (1, 4, 5), refused
    assert "free space" in refused.err, refused
    assert (accepted(estate), estate.homes(vm)) == (before, [])
    filler.unlink()
    estate.apply(home=tiny_home)
    estate.assert_settled()


def test_a_journal_that_fills_up_in_the_middle_stops_the_plan_and_the_next_one_goes_on(
    estate: Estate, tiny_home: Path
) -> None:
    vms = [estate.declare_vm(f"half-{number}", disk="4Mi") for number in range(2)]
    filler = tiny_home / "filler"
    driver = FILL + FILL_AFTER_LINES.format(lines=3, filler=str(filler))
    process = estate.start_ostler("apply", "-f", str(estate.write()), "--yes", home=tiny_home, driver=driver)
    said = finish(process, (4,))
    assert "free space" in said, said
    assert not any(estate.homes(vm) for vm in vms)
    filler.unlink()
    estate.apply(home=tiny_home)
    for vm in vms:
        assert len(estate.homes(vm)) == 1
        run = estate.record(vm).run
        assert run is not None
        assert run.number == 1
    estate.assert_settled()


@pytest.fixture
def tiny_agent(estate: Estate) -> Iterator[Estate]:
    """The estate whose first host keeps its agent's state on a file system of 8 MiB."""
    stop_agent(estate.lab, "h1")
    inside(
        estate,
        f"umount {AGENT_STATE}/mounts/* && mkdir /run/tiny && mount -t tmpfs -o size=8m tmpfs /run/tiny"
        f" && tar c -C {AGENT_STATE} --exclude=./mounts . | tar x -C /run/tiny"
        f" && mount --move /run/tiny {AGENT_STATE}",
    )
    start_agent(estate.lab, "h1")
    wait_for(lambda: estate.plan()[1].status == 0, "the agent to be back")
    yield estate
    inside(estate, f"rm -f {AGENT_STATE}/filler")


def inside(estate: Estate, script: str) -> None:
    done = run_in(estate.lab, "h1", ["sh", "-c", script])
    assert done.returncode == 0, done.stderr


def fill_agent(estate: Estate) -> None:
    inside(estate, f"dd if=/dev/zero of={AGENT_STATE}/filler bs=4k 2>/dev/null || true")


def test_a_full_disk_under_the_ledger_takes_no_order_and_loses_no_result(tiny_agent: Estate) -> None:
    estate = tiny_agent
    vm = estate.declare_vm("ledger-moves", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION)
    estate.apply()
    before = estate.see(vm)
    estate.change(vm, placement={"hosts": ["h2"]})
    process = estate.apply_in_background()
    wait_for(lambda: estate.migration_runs(vm, "h1"), "the migration")
    fill_agent(estate)
    finish(process, (0,))
    estate.assert_undisturbed(vm, before, moved=True)

    fill_agent(estate)
    more = estate.declare_vm("ledger-more", disk=None, placement={"hosts": ["h1"]})
    failed = estate.apply(status=4)
    assert "free space" in failed.err + failed.out, failed
    assert estate.homes(more) == []

    inside(estate, f"rm {AGENT_STATE}/filler")
    estate.apply()
    assert estate.homes(more) == ["h1"]
    estate.assert_undisturbed(vm, before, moved=True)
    estate.assert_settled()
