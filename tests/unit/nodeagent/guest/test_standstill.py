"""An emulated guest stands still while its memory moves, where QEMU would lose what it writes meanwhile."""

import pytest

from nodeagent.drivers.libvirt_values import HypervisorVersion, JobProgress
from nodeagent.errors import DriverError
from nodeagent.operations.vm_standstill import hold_still, loses_writes
from nodeagent.wire.arguments import StartVm
from tests.unit.nodeagent.guest.samples import MASTER, VM, guest

STARTING = JobProgress("running", "migration-out")
MOVING = JobProgress("running", "migration-out", remaining_bytes=5, total_bytes=9)


@pytest.fixture
def running(bench):
    bench.run(StartVm(MASTER, bench_config(bench)))
    bench.hypervisor.calls.clear()
    return bench


def bench_config(bench):
    config = guest()
    bench.define(config)
    return config


class Control:
    def __init__(self, patience=100):
        self.patience = patience

    def cancelled(self):
        self.patience -= 1
        return self.patience < 0


@pytest.mark.parametrize(
    ("accelerator", "qemu", "expected"),
    [("qemu", "7.2.22", True), ("qemu", "", True), ("qemu", "9.0.0", False), ("qemu", "10.1.0", False),
     ("kvm", "7.2.22", False)],
)  # fmt: skip
def test_only_an_emulated_guest_of_an_old_qemu_stands_still(
    running, monkeypatch, accelerator, qemu, expected
):
    domain = running.hypervisor.domains[VM]
    domain.xml = domain.xml.replace('type="qemu"', f'type="{accelerator}"', 1)
    assert f'type="{accelerator}"' in domain.xml
    monkeypatch.setattr(running.hypervisor, "version", lambda: HypervisorVersion("9.0.0", qemu))
    assert loses_writes(running.host, VM) is expected


def test_it_is_halted_once_its_memory_moves_and_then_moves_at_full_bandwidth(running):
    running.hypervisor.domains[VM].job = STARTING
    looks = iter([STARTING, MOVING])

    def ended(_limit_ms):
        running.hypervisor.domains[VM].job = next(looks)
        return False

    hold_still(running.host, VM, 52, Control(), ended)
    assert running.hypervisor.calls == ["job_progress", "job_progress", "suspend", "set_migration_bandwidth"]


def test_a_call_that_fails_is_made_again(running):
    running.hypervisor.domains[VM].job = MOVING
    running.hypervisor.fail["set_migration_bandwidth"] = DriverError("no job is active")
    hold_still(running.host, VM, 52, Control(), lambda _limit_ms: False)
    assert running.hypervisor.calls.count("set_migration_bandwidth") == 2


@pytest.mark.parametrize(("patience", "over"), [(0, False), (100, True)])
def test_nothing_is_halted_once_the_migration_is_over_or_its_order_cancelled(running, patience, over):
    running.hypervisor.domains[VM].job = STARTING
    hold_still(running.host, VM, 52, Control(patience), lambda _limit_ms: over)
    assert "suspend" not in running.hypervisor.calls
