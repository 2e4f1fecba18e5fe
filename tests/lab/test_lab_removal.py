"""`down` leaves the machine as it was, whatever state the lab is in, and touches nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.lab.commands import run_checked
from reconciler.lab.errors import LabError
from reconciler.lab.inside import host_init, run_in
from reconciler.lab.lifecycle import bring_up, take_down
from reconciler.lab.model import Lab, plan_lab
from reconciler.lab.network import read_links
from reconciler.lab.processes import identify_process, wait_until
from tests.lab.conftest import choose_network


class Machine:
    """What of the machine a lab could leave behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.links = set(read_links())
        self.mounts = Path("/proc/self/mountinfo").read_text()

    def processes(self) -> list[int]:
        """Processes with the lab's directory in their command line, or in a mount that they see."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                text = (path / "cmdline").read_bytes() + (path / "mountinfo").read_bytes()
            except OSError:
                continue
            if str(self.directory).encode() in text and int(path.name) != os.getpid():
                found.append(int(path.name))
        return found

    def is_clean(self, bridge: str) -> bool:
        links = {name for name in read_links() if name.startswith(bridge)}
        mounts = [
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if str(self.directory) in line
        ]
        return not (links or mounts or self.processes() or self.directory.exists())


@pytest.fixture
def planned(tmp_path: Path) -> Lab:
    bridge, subnet = choose_network()
    return plan_lab(tmp_path / "lab", 2, bridge=bridge, subnet=subnet)


def test_down_leaves_nothing(planned: Lab) -> None:
    machine = Machine(planned.directory)
    lab = bring_up(planned)
    run_in(lab, "h1", ["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
    assert machine.processes()

    assert take_down(lab.directory)
    assert machine.is_clean(lab.bridge)
    assert Path("/proc/self/mountinfo").read_text() == machine.mounts


def test_down_without_a_lab_does_nothing(tmp_path: Path) -> None:
    assert not take_down(tmp_path / "none")
    (tmp_path / "file").write_text("mine")
    assert not take_down(tmp_path)
    assert (tmp_path / "file").read_text() == "mine"


def test_down_removes_a_lab_whose_hosts_have_died(planned: Lab) -> None:
    lab = bring_up(planned)
    for host in lab.hosts:
        init = host_init(lab, host.name)
        assert init
        os.kill(init.pid, signal.SIGKILL)

    assert take_down(lab.directory)
    assert Machine(lab.directory).is_clean(lab.bridge)


UP = """
import sys
from pathlib import Path
from reconciler.lab.lifecycle import bring_up
from reconciler.lab.model import plan_lab
bring_up(plan_lab(Path(sys.argv[1]), 2, bridge=sys.argv[2], subnet=sys.argv[3]))
"""


def _bridge_is_there(lab: Lab) -> bool:
    return lab.bridge in read_links()


def _a_host_starts(lab: Lab) -> bool:
    return any(host.init_log.exists() for host in lab.hosts)


def _a_host_is_ready(lab: Lab) -> bool:
    return any(host.ready_file.exists() for host in lab.hosts)


@pytest.mark.parametrize("moment", [_bridge_is_there, _a_host_starts, _a_host_is_ready])
def test_down_removes_what_an_up_killed_half_way_has_made(
    planned: Lab, moment: Callable[[Lab], bool]
) -> None:
    argv = [sys.executable, "-c", UP, str(planned.directory), planned.bridge, planned.subnet]
    process = subprocess.Popen(argv)
    assert wait_until(lambda: moment(planned) or process.poll() is not None, 30)
    process.kill()
    process.wait()

    assert take_down(planned.directory)
    machine = Machine(planned.directory)
    assert wait_until(lambda: machine.is_clean(planned.bridge), 5), machine.processes()


def test_up_after_an_up_killed_half_way_completes_the_lab(planned: Lab) -> None:
    argv = [sys.executable, "-c", UP, str(planned.directory), planned.bridge, planned.subnet]
    process = subprocess.Popen(argv)
    assert wait_until(lambda: _a_host_starts(planned) or process.poll() is not None, 30)
    process.kill()
    process.wait()
    lab = bring_up(planned)
    try:
        assert run_in(lab, "h2", ["virsh", "-c", "qemu+tls://h1/system", "hostname"]).stdout.strip() == "h1"
    finally:
        take_down(lab.directory)
    assert Machine(lab.directory).is_clean(lab.bridge)


def test_a_process_that_got_the_pid_of_a_host_is_not_touched(planned: Lab) -> None:
    lab = bring_up(planned)
    init = host_init(lab, "h1")
    assert init
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        text = lab.host("h1").init_file.read_text().split()
        lab.host("h1").init_file.write_text(f"{bystander.pid} {text[1]} {text[2]}\n")
        take_down(lab.directory)
        assert identify_process(bystander.pid) is not None
        assert Machine(lab.directory).is_clean(lab.bridge)
    finally:
        bystander.kill()
        bystander.wait()


def test_a_bridge_of_someone_else_is_neither_used_nor_removed(planned: Lab) -> None:
    run_checked(["ip", "link", "add", "name", planned.bridge, "type", "bridge"])
    run_checked(["ip", "link", "set", "dev", planned.bridge, "alias", "mine"])
    try:
        with pytest.raises(LabError, match="is not this lab's"):
            bring_up(planned)
        take_down(planned.directory)
        assert planned.bridge in read_links()
    finally:
        run_checked(["ip", "link", "delete", "dev", planned.bridge])


def test_a_subnet_that_the_machine_has_already_is_refused(tmp_path: Path) -> None:
    run_checked(["ip", "link", "add", "name", "ostlerdummy0", "type", "bridge"])
    bridge, subnet = choose_network()
    planned = plan_lab(tmp_path / "lab", 1, bridge=bridge, subnet=subnet)
    run_checked(["ip", "address", "add", planned.gateway, "dev", "ostlerdummy0"])
    try:
        with pytest.raises(LabError, match="choose another with --subnet"):
            bring_up(planned)
        assert bridge not in read_links()
    finally:
        run_checked(["ip", "link", "delete", "dev", "ostlerdummy0"])
        take_down(planned.directory)


def test_down_refuses_while_something_else_is_mounted_in_the_lab(planned: Lab) -> None:
    lab = bring_up(planned)
    point = lab.shared / "other"
    point.mkdir()
    run_checked(["mount", "-t", "tmpfs", "tmpfs", str(point)])
    (point / "precious").write_text("x")
    try:
        with pytest.raises(LabError, match="mounted inside"):
            take_down(lab.directory)
        assert (point / "precious").read_text() == "x"
    finally:
        run_checked(["umount", str(point)])
    assert take_down(lab.directory)
