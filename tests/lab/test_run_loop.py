"""`ostler run` on real hosts: manifests are kept, and a slow step holds up only what it is about."""

from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

from tests.lab.apply_estate import Estate, finish, wait_for


@contextmanager
def keeping(estate: Estate) -> Iterator["Popen[str]"]:
    """The loop, until it is told to end; it must end well."""
    process = estate.start_ostler("run", "-f", str(estate.write()), "--interval", "1s")
    try:
        yield process
    finally:
        process.terminate()
        finish(process, (0,))


def runs(estate: Estate, vm: str) -> bool:
    return bool(estate.homes(vm))


def test_a_slow_shutdown_holds_up_no_other_vm(estate: Estate) -> None:
    deaf = estate.declare_vm("deaf", disk=None, cmdline="ostler.ignore_power=1", shutdownTimeout="2m")
    other = estate.declare_vm("other", runPolicy="Manual")
    estate.apply()
    estate.report(deaf)
    estate.change(deaf, runPolicy="Stopped")

    with keeping(estate):
        home = estate.home_of(deaf)
        wait_for(lambda: f"(stop-vm of {deaf})" in estate.agent_log(home), "the loop to stop the deaf guest")
        asked = estate.ostler("vm", "start", other, "-f", str(estate.write()), "--yes")
        assert asked.status == 0, asked
        assert runs(estate, other)
        late = estate.declare_vm("late")
        estate.write()
        wait_for(lambda: runs(estate, late) or None, "the VM that was declared meanwhile")
        assert runs(estate, deaf), "its shutdown goes on all the while"
        estate.virsh(estate.home_of(deaf), "destroy", estate.uuid(deaf))

    estate.assert_settled()


def test_the_loop_repairs_drift_and_follows_manifests(estate: Estate) -> None:
    vm = estate.declare_vm("kept")
    with keeping(estate):
        first = wait_for(lambda: estate.report(vm).boot if runs(estate, vm) else None, "the VM to run")
        estate.virsh(estate.home_of(vm), "destroy", estate.uuid(vm))
        wait_for(
            lambda: (runs(estate, vm) and estate.report(vm).boot != first) or None, "it to be started again"
        )
        estate.change(vm, runPolicy="Stopped")
        estate.write()
        wait_for(lambda: not runs(estate, vm) or None, "it to be stopped")
    estate.assert_settled()


def test_a_loop_that_is_killed_with_two_plans_under_way_leaves_nothing_half_done(estate: Estate) -> None:
    deaf = estate.declare_vm("deaf", disk=None, cmdline="ostler.ignore_power=1", shutdownTimeout="20s")
    estate.apply()
    estate.report(deaf)
    estate.change(deaf, runPolicy="Stopped")
    process = estate.start_ostler("run", "-f", str(estate.write()), "--interval", "1s")
    home = estate.home_of(deaf)
    wait_for(lambda: f"(stop-vm of {deaf})" in estate.agent_log(home), "the loop to stop the deaf guest")
    second = estate.declare_vm("second")
    estate.write()
    wait_for(
        lambda: any(f" of {second})" in estate.agent_log(host.name) for host in estate.lab.hosts),
        "its second plan",
    )
    process.kill()
    finish(process, (-9,))

    with keeping(estate):
        wait_for(lambda: runs(estate, second) and not runs(estate, deaf), "both plans' ends")
    estate.assert_settled()
    assert len(estate.homes(second)) == 1
