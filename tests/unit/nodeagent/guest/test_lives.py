"""Starting and stopping when something goes wrong: a run is closed only where no guest can live."""

from dataclasses import replace

import pytest

from nodeagent.drivers.libvirt_errors import HypervisorUnreachableError, NotAnsweringError
from nodeagent.errors import DriverError
from nodeagent.operations import vm_memory
from nodeagent.operations.contract import OperationError
from nodeagent.wire.arguments import PauseVm, RebootVm, SetVmMemory, SetVncPassword, StartVm, StopVm
from nodeagent.wire.guest import VncConfig
from tests.unit.nodeagent.guest.samples import MASTER, MIB, VM, guest, nic

CONFIG = guest(nics=(nic(1),))
START = StartVm(MASTER, CONFIG)
DESTROY = StopVm(MASTER, VM, 1, "destroy", 0, "stopped")


def test_a_start_claims_creates_and_keeps_what_libvirt_chose(bench):
    bench.define(CONFIG)
    outputs = bench.run(START)

    assert outputs == {"mac": {"nic1": nic(1).mac}, "pci": {"nic1": "0000:01:00.0"}, "vnc_port": None}
    assert bench.verify(START) is None
    record = bench.record(VM)
    assert (record.run.number, record.run.closed, record.pci) == (1, None, {"nic1": "0000:01:00.0"})


def test_a_password_that_vnc_cannot_hold_is_told_before_anything_is_done(bench):
    config = replace(CONFIG, vnc=VncConfig("a/b"))
    bench.define(config)
    with pytest.raises(OperationError, match="1 to 8 printable bytes"):
        bench.run(StartVm(MASTER, config), secrets={"a/b": "twelve bytes"})

    assert bench.record(VM).run is None
    assert bench.hypervisor.domains == {}


def test_a_refused_start_closes_its_run(bench):
    bench.define(CONFIG)
    bench.hypervisor.fail["create"] = DriverError("cannot start guest: no bridge")
    with pytest.raises(OperationError, match="no bridge") as caught:
        bench.run(START)

    assert caught.value.settled
    assert bench.record(VM).run.closed == "failed"


@pytest.mark.parametrize(
    "error",
    [NotAnsweringError("no answer"), HypervisorUnreachableError("link broke", settled=False)],
)
def test_a_start_whose_end_nobody_knows_leaves_its_run_open(bench, error):
    bench.define(CONFIG)
    bench.hypervisor.fail["create"] = error
    with pytest.raises(OperationError, match="may run all the same") as caught:
        bench.run(START)

    assert not caught.value.settled
    assert bench.record(VM).run.closed is None


def test_a_refused_start_leaves_its_run_open_where_the_kernel_cannot_be_asked(bench):
    bench.define(CONFIG)
    bench.hypervisor.fail["create"] = DriverError("cannot start guest")
    bench.hypervisor.fail["list_processes"] = DriverError("/proc hangs")
    with pytest.raises(OperationError) as caught:
        bench.run(START)

    assert not caught.value.settled
    assert bench.record(VM).run.closed is None


def test_a_vm_without_a_record_is_not_started(bench):
    with pytest.raises(OperationError, match="has no record"):
        bench.run(START)

    assert "create" not in bench.hypervisor.calls


def test_nothing_is_created_where_the_claim_fails(bench):
    bench.define(CONFIG)
    bench.run(START)
    with pytest.raises(OperationError, match="may still run"):
        bench.run(StartVm(MASTER, replace(CONFIG, run=2)))

    assert bench.hypervisor.calls.count("create") == 1


def test_a_host_in_maintenance_starts_nothing(bench):
    bench.host.settings.set_maintenance(True)

    assert bench.check(START) == "the host is in maintenance"


def test_a_stop_closes_the_run_only_once_the_process_is_gone(bench, monkeypatch):
    monkeypatch.setattr("nodeagent.operations.vm_stopping.GONE_MS", 100)
    bench.define(CONFIG)
    bench.run(START)
    monkeypatch.setattr(bench.hypervisor, "list_processes", lambda: {VM: 4711})
    with pytest.raises(OperationError, match="does not end") as caught:
        bench.run(DESTROY)

    assert not caught.value.settled
    assert bench.record(VM).run.closed is None


def test_a_stop_of_a_guest_that_ended_meanwhile_closes_its_run(bench):
    bench.define(CONFIG)
    bench.run(START)
    del bench.hypervisor.domains[VM]

    assert bench.check(DESTROY) is None
    bench.run(DESTROY)
    assert bench.record(VM).run.closed == "stopped"


def test_a_stop_for_another_run_is_refused(bench):
    bench.define(CONFIG)
    bench.run(START)

    assert "last run of VM" in bench.check(replace(DESTROY, run=2))


def test_a_persistent_domain_is_forgotten_after_its_stop(bench):
    bench.define(CONFIG)
    bench.run(START)
    bench.hypervisor.domains[VM].persistent = True
    bench.run(DESTROY)

    assert bench.hypervisor.calls.count("undefine") == 1


def test_a_stop_interrupted_after_the_guests_end_is_finished_when_recovered(bench):
    bench.define(CONFIG)
    bench.run(START)
    bench.hypervisor.destroy(VM)

    assert bench.recover(DESTROY) is True
    assert bench.record(VM).run.closed == "stopped"


def test_a_reboot_interrupted_between_stop_and_start_is_recovered_as_not_done(bench):
    bench.define(CONFIG)
    bench.run(START)
    bench.hypervisor.destroy(VM)
    reboot = RebootVm(MASTER, replace(CONFIG, run=2), 1000)

    assert bench.recover(reboot) is False
    assert (bench.record(VM).run.number, bench.record(VM).run.closed) == (1, "stopped")


def test_a_balloon_that_does_not_follow_is_told(bench):
    bench.define(CONFIG)
    bench.run(START)
    bench.hypervisor.domains[VM].deaf = True
    with pytest.raises(OperationError, match="balloon of guest"):
        bench.run(SetVmMemory(VM, 96 * MIB))


@pytest.mark.parametrize(
    ("usable", "refused"),
    [(None, False), (200, False), (97, True), (0, True)],
    ids=["unknown", "enough", "tight", "none"],
)
def test_a_guest_is_not_asked_for_more_memory_than_it_says_it_can_spare(bench, usable, refused):
    bench.define(CONFIG)
    bench.run(START)
    bench.hypervisor.domains[VM].usable_bytes = usable if usable is None else usable * MIB

    if not refused:
        bench.run(SetVmMemory(VM, 96 * MIB))
        return
    with pytest.raises(OperationError, match="can spare") as told:
        bench.run(SetVmMemory(VM, 96 * MIB))
    assert "set_memory" not in bench.hypervisor.calls
    assert f"at least {100 if usable else 192}Mi" in told.value.action


def test_a_guest_that_may_grow_is_not_asked_what_it_can_spare(bench):
    bench.define(CONFIG)
    bench.run(START)
    bench.run(SetVmMemory(VM, 96 * MIB))
    bench.hypervisor.domains[VM].usable_bytes = 0

    bench.run(SetVmMemory(VM, 192 * MIB))


def test_a_guest_that_cannot_spare_the_memory_is_told_soon_and_gets_back_what_it_had(bench, monkeypatch):
    monkeypatch.setattr(vm_memory, "BALLOON_STALL_MS", 20)
    bench.define(CONFIG)
    bench.run(START)
    bench.hypervisor.domains[VM].least_bytes = 112 * MIB

    with pytest.raises(OperationError, match="it has not moved for") as told:
        bench.run(SetVmMemory(VM, 96 * MIB))

    assert "declare at least 112Mi" in told.value.action
    assert bench.verify(SetVmMemory(VM, 192 * MIB)) is None


def test_a_secret_that_the_order_does_not_bring_is_told(bench):
    config = replace(CONFIG, vnc=VncConfig())
    bench.define(config)
    bench.run(StartVm(MASTER, config))
    with pytest.raises(OperationError, match="does not bring secret a/b"):
        bench.run(SetVncPassword(VM, "a/b"))


def test_a_guest_that_stands_still_only_while_it_moves_is_not_taken_for_paused(bench):
    bench.define(CONFIG)
    bench.run(START)
    assert bench.check(PauseVm(VM)) is None
    domain = bench.hypervisor.domains[VM]
    domain.state, domain.pause_reason = "paused", "migration"

    assert "is being moved" in bench.check(PauseVm(VM))
    assert "not paused" in bench.verify(PauseVm(VM))


def test_a_paused_guest_stays_paused_when_paused_again(bench):
    bench.define(CONFIG)
    bench.run(START)
    bench.run(PauseVm(VM))
    bench.run(PauseVm(VM))

    assert bench.hypervisor.calls.count("suspend") == 1
    assert bench.verify(PauseVm(VM)) is None
