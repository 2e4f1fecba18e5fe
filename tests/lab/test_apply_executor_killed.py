"""`ostler apply` killed with SIGKILL after each line of its journal: the next one ends where it would have.

A plan of ten steps: a migration, a changed cable, a grown disk, two new disks and a new VM, with their records.
The guests that were there before must not notice, and what was done once must not be done again.
"""

import contextlib
import io
import os
import signal
from dataclasses import dataclass

import pytest

from reconciler.cli.main import run as run_ostler
from reconciler.store.journal import Journal
from reconciler.store.store import open_store
from tests.lab.apply_estate import MIB, Estate, Seen, environment

LINES = 20


@dataclass
class Stage:
    """Two guests that live through all of it. `moved`: how often the first was to migrate."""

    estate: Estate
    mover: str
    wired: str
    moved: int = 0


@pytest.fixture(scope="module")
def stage(data_center: Estate) -> Stage:
    estate = data_center
    mover = estate.declare_vm("mover", placement={"hosts": ["h1"]})
    wired = estate.declare_vm("wired", disk="16Mi", nics=[{"name": "nic1", "network": "lan"}])
    estate.apply()
    estate.report(mover)
    estate.report(wired)
    return Stage(estate, mover, wired)


def declare_ten_steps(stage: Stage, number: int) -> None:
    """Change everything once more."""
    estate = stage.estate
    stage.moved += 1
    estate.change(stage.mover, placement={"hosts": ["h2" if stage.moved % 2 else "h1"]})
    link = "down" if stage.moved % 2 else "up"
    estate.change(stage.wired, nics=[{"name": "nic1", "network": "lan", "link": link}])
    estate.change("disk/wired-root", size=f"{17 + number}Mi")
    for letter in "ab":
        estate.declare("Disk", f"new-{number}{letter}", storageDomain="shared", size="4Mi", format="raw")
    estate.declare_vm(f"new-{number}", disk=None)


def apply_until_killed(estate: Estate, line: int) -> int:
    """Apply in a child process that is killed as soon as its journal has that many lines; its wait status."""
    manifests = str(estate.write())
    child = os.fork()
    if child == 0:
        write, left = Journal._write, [line]

        def dying(journal: Journal, *args: object, **named: object) -> None:
            write(journal, *args, **named)  # type: ignore[arg-type]
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        Journal._write = dying  # type: ignore[method-assign, assignment]
        status = 99
        try:
            with (
                environment(OSTLER_HOME=str(estate.home)),
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                status = run_ostler(["apply", "-f", manifests, "--yes"])
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def starts_of(estate: Estate, vm: str) -> int:
    """How often a QEMU was started for a VM, on all hosts, by libvirt's logs."""
    logs = [host.outside(f"/var/log/libvirt/qemu/{estate.uuid(vm)}.log") for host in estate.lab.hosts]
    return sum(log.read_text(errors="replace").count("starting up libvirt") for log in logs if log.exists())


def unsettled(estate: Estate) -> int:
    with contextlib.closing(open_store(estate.home / "store.sqlite")) as store:
        return sum(len(store.journal.unsettled(center)) for center in store.centers.all())


@pytest.mark.parametrize("line", range(1, LINES + 1))
def test_an_apply_killed_after_a_journal_line_is_carried_on(stage: Stage, line: int) -> None:
    estate = stage.estate
    before: dict[str, Seen] = {vm: estate.see(vm) for vm in (stage.mover, stage.wired)}
    starts = starts_of(estate, stage.mover)
    declare_ten_steps(stage, line)
    if line == 1:
        assert len(estate.steps()) == 10

    status = apply_until_killed(estate, line)
    assert os.WIFSIGNALED(status), f"the journal had no {line} lines"
    assert os.WTERMSIG(status) == signal.SIGKILL
    estate.apply_until_settled()
    assert unsettled(estate) == 0

    new = f"vm/new-{line}"
    estate.assert_undisturbed(stage.mover, before[stage.mover], moved=True)
    estate.assert_undisturbed(stage.wired, before[stage.wired])
    assert starts_of(estate, stage.mover) == starts + 1, "it moved once"
    assert len(estate.homes(new)) == 1
    assert starts_of(estate, new) == 1
    assert estate.record(new).run is not None
    assert estate.record(new).run.number == 1
    assert estate.report(stage.wired).disks["vda"][0] == (17 + line) * MIB
    for letter in "ab":
        assert (
            len(list((estate.master / "images" / estate.uuid(f"disk/new-{line}{letter}")).glob("*.meta")))
            == 1
        )
    estate.assert_settled()
    estate.forget_vm(new)
