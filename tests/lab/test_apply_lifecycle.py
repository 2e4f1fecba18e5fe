"""A VM's life by manifests on real hosts: made, stopped, started, restarted, and what its guest feels of each."""

import pytest

from nodeagent.wire.records import VmRecord
from reconciler.lab.inside import run_in
from tests.lab.apply_estate import MIB, Estate, wait_for
from tests.lab.monitor_events import listening


def run_of(record: VmRecord) -> tuple[int, str | None]:
    assert record.run is not None
    return record.run.number, record.run.closed


def test_a_declared_vm_runs_and_nothing_is_left_to_do(estate: Estate) -> None:
    vm = estate.declare_vm("web", nics=[{"name": "nic1", "network": "lan"}])
    done = estate.apply()
    assert "3 succeeded" in done.err
    report = estate.report(vm, lambda one: one.heartbeat is not None and one.heartbeat.count > 1)

    assert report.cpus == 1
    assert 64 * MIB // 1024 < report.memory_kib <= 128 * MIB // 1024
    assert report.disks["vda"] == (64 * MIB, False)
    assert list(report.nics) == list(estate.record(vm).macs.values())
    assert report.heartbeat is not None
    assert (report.heartbeat.errors, report.heartbeat.intruder) == (0, False)
    assert run_of(estate.record(vm)) == (1, None)
    estate.assert_settled()


def test_a_vm_is_stopped_and_started_by_its_manifest_and_keeps_its_disk(estate: Estate) -> None:
    vm = estate.declare_vm("cycle")
    estate.apply()
    first = estate.see(vm)
    counted = estate.report(vm, lambda one: one.heartbeat is not None and one.heartbeat.count >= 2).heartbeat

    estate.change(vm, runPolicy="Stopped")
    plan, shown = estate.plan()
    stop = next(step for step in plan.steps if step.kind == "stop-vm")
    assert stop.disruption == "power-off", shown
    with listening(estate, vm) as events:
        estate.apply()
        felt = events.ended(vm, first.host)
        assert felt[0] == "POWERDOWN", "its power button was pressed, once"
        assert (felt.count("POWERDOWN"), felt.count("SHUTDOWN"), felt.count("RESET")) == (1, 1, 0)
    assert estate.homes(vm) == []
    assert run_of(estate.record(vm)) == (1, "stopped")
    estate.assert_settled()

    estate.change(vm, runPolicy=None)
    estate.apply()
    again = estate.report(vm)
    assert again.boot != first.boot
    assert counted is not None
    assert again.heartbeat is not None
    assert again.heartbeat.found is not None
    assert again.heartbeat.found >= counted.count
    assert run_of(estate.record(vm)) == (2, None)
    estate.assert_settled()


def test_a_guest_that_ignores_its_power_button_is_switched_off_after_its_time(estate: Estate) -> None:
    vm = estate.declare_vm("deaf", disk=None, cmdline="ostler.ignore_power=1", shutdownTimeout="2s")
    estate.apply()
    estate.report(vm)
    estate.change(vm, runPolicy="Stopped")
    estate.apply()
    assert estate.homes(vm) == []
    estate.assert_settled()


def test_an_image_grows_in_a_running_guest_and_on_storage_and_never_shrinks(estate: Estate) -> None:
    vm = estate.declare_vm("grow", disk="64Mi")
    estate.declare("Disk", "spare", storageDomain="shared", size="16Mi", format="raw")
    estate.apply()
    before = estate.see(vm)

    estate.change("disk/grow-root", size="96Mi")
    estate.change("disk/spare", size="32Mi")
    assert [step for step in estate.steps() if "record" not in step] == [
        "disk/grow-root#grow",
        "disk/spare#grow",
    ]
    with listening(estate, vm) as events:
        estate.apply()
        estate.report(vm, lambda one: one.disks["vda"] == (96 * MIB, False))
        estate.assert_undisturbed(vm, before)
        assert events.felt(vm) == {}
    images = [path for path in (estate.master / "images").glob("*/*") if path.stat().st_size == 32 * MIB]
    assert len(images) == 1, "the raw image on storage has its new size"
    estate.assert_settled()

    estate.change("disk/grow-root", size="80Mi")
    plan, shown = estate.plan()
    assert (plan.steps, [one.object for one in plan.blocked]) == ((), ["disk/grow-root"]), shown
    assert shown.status == 3


def test_a_restart_that_the_manifest_allows_happens_once_and_brings_what_was_pending(estate: Estate) -> None:
    vm = estate.declare_vm("pending", maxMemory="160Mi")
    estate.apply()
    before = estate.see(vm)

    estate.change(vm, memory="192Mi", maxMemory="192Mi", rng=False)
    plan, shown = estate.plan()
    assert [one.object for one in plan.deferred] == [vm], shown
    assert [step.kind for step in plan.steps] == ["write-vm-record"], shown
    estate.apply()
    estate.assert_undisturbed(vm, before)
    plan, shown = estate.plan()
    assert (plan.steps, shown.status) == ((), 0), shown
    assert {one.field for one in plan.deferred[0].fields} == {"vm.memory", "vm.maxMemory", "vm.rng"}

    estate.change(vm, restartPolicy="WhenNeeded")
    plan, shown = estate.plan()
    restart = next(step for step in plan.steps if step.kind == "reboot-vm")
    assert restart.disruption == "restart"
    estate.apply()
    after = estate.report(vm)
    assert after.boot != before.boot
    assert after.memory_kib > 130 * 1024
    assert not after.rng
    assert run_of(estate.record(vm))[0] == 2
    estate.assert_settled()


def test_a_guest_that_shuts_itself_down_stays_down_under_restart_on_failure(estate: Estate) -> None:
    vm = estate.declare_vm("leaves", cmdline="ostler.poweroff_after=3")
    estate.apply()
    wait_for(lambda: not estate.homes(vm), "the guest to leave")
    plan, shown = estate.plan()
    assert "shutdown" in shown.out, shown
    assert "start-vm" not in [step.kind for step in plan.steps], shown
    estate.apply()
    assert estate.homes(vm) == []
    assert run_of(estate.record(vm)) == (1, "shutdown")
    estate.assert_settled()

    estate.change(vm, runPolicy="Always")
    estate.apply()
    estate.report(vm)


def test_the_vms_of_a_data_center_can_be_started_by_the_real_command(estate: Estate) -> None:
    vm = estate.declare_vm("shell", disk=None)
    process = estate.start_ostler("apply", "-f", str(estate.write()), "--yes")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "Traceback" not in err
    estate.report(vm)
    again = estate.start_ostler("apply", "-f", str(estate.write()), "--yes")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, out + err
    assert "nothing to do" in out


def test_without_consent_on_a_terminal_nothing_is_done(estate: Estate) -> None:
    vm = estate.declare_vm("unasked", disk=None)
    refused = estate.ostler("apply", "-f", str(estate.write()))
    assert refused.status == 5, refused
    assert estate.homes(vm) == []
    assert not list((estate.master / "master" / "vms").glob("*"))


@pytest.mark.parametrize("name", ["h1"])
def test_nothing_is_defined_on_a_host_that_could_start_by_itself(estate: Estate, name: str) -> None:
    vm = estate.declare_vm("transient", disk=None, placement={"hosts": [name]})
    estate.apply()
    uuid = estate.uuid(vm)
    assert "Persistent:     no" in run_in(estate.lab, name, ["virsh", "dominfo", uuid]).stdout
