"""Agents killed, stopped and started in the middle of their work: no guest feels it, and what was begun is found again."""

from collections.abc import Callable

import pytest

from reconciler.lab.services import find_service, kill_agent, start_agent, stop_agent
from tests.lab.apply_estate import SLOW_MIGRATION, Estate, finish, wait_for


def order_accepted(estate: Estate, vm: str, host: str) -> bool:
    return f"(start-vm of {vm})" in estate.agent_log(host)


def qemu_is_there(estate: Estate, vm: str, host: str) -> bool:
    return estate.uuid(vm) in estate.virsh(host, "list", "--uuid")


@pytest.mark.parametrize("moment", [order_accepted, qemu_is_there])
def test_a_start_in_whose_middle_the_agent_is_killed_happens_once(
    estate: Estate, moment: Callable[[Estate, str, str], bool]
) -> None:
    vm = estate.declare_vm(f"start-{moment.__name__[:5].strip('_')}", placement={"hosts": ["h1"]})
    process = estate.apply_in_background()
    wait_for(lambda: moment(estate, vm, "h1"), "the start to begin", 30)
    kill_agent(estate.lab, "h1")
    start_agent(estate.lab, "h1")
    finish(process, (0, 3, 4))
    estate.apply_until_settled()
    assert estate.homes(vm) == ["h1"]
    heartbeat = estate.report(vm, lambda one: one.heartbeat is not None and one.heartbeat.count > 2).heartbeat
    assert heartbeat is not None
    assert not heartbeat.intruder
    run = estate.record(vm).run
    assert run is not None
    assert (run.closed, [one.uuid for one in run.hosts]) == (None, [estate.lab.host("h1").uuid])


@pytest.mark.parametrize("killed", ["h1", "h2"])
def test_a_migration_goes_on_without_its_agents(estate: Estate, killed: str) -> None:
    vm = estate.declare_vm(f"moves-{killed}", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION)
    estate.apply()
    before = estate.see(vm)
    estate.change(vm, placement={"hosts": ["h2"]})
    process = estate.apply_in_background()
    wait_for(lambda: estate.migration_runs(vm, "h1"), "the migration", 60)
    kill_agent(estate.lab, killed)
    assert find_service(estate.lab, killed, "ostler-agent") is None
    start_agent(estate.lab, killed)
    finish(process, (0, 3, 4))
    estate.apply_until_settled()
    assert estate.homes(vm) == ["h2"]
    estate.assert_undisturbed(vm, before, moved=True)
    estate.assert_settled()


def test_an_order_sent_while_its_agent_is_down_is_carried_out_once_it_is_back(estate: Estate) -> None:
    vm = estate.declare_vm("awaits", placement={"hosts": ["h1"]})
    stay = estate.declare_vm("stay", placement={"hosts": ["h1"]})
    estate.apply()
    before = estate.see(stay)
    estate.change(vm, runPolicy="Stopped")
    estate.report(vm)
    process = estate.apply_in_background()
    wait_for(lambda: f"(stop-vm of {vm})" in estate.agent_log("h1"), "the stop", 60)
    stop_agent(estate.lab, "h1")
    start_agent(estate.lab, "h1")
    finish(process, (0, 3, 4))
    estate.apply_until_settled()
    assert estate.homes(vm) == []
    estate.assert_undisturbed(stay, before)
    estate.assert_settled()


def test_a_disk_that_could_not_be_unplugged_before_the_agent_died_stays_in_the_record(estate: Estate) -> None:
    estate.declare("Disk", "kept", storageDomain="shared", size="8Mi")
    vm = estate.declare_vm("keeps", placement={"hosts": ["h1"]})
    both = [{"disk": "keeps-root"}, {"disk": "kept"}]
    estate.change(vm, disks=both)
    estate.apply()
    before = estate.see(vm)
    estate.virsh("h1", "suspend", estate.uuid(vm))  # its guest lets go of nothing now
    estate.change(vm, disks=both[:1])
    process = estate.apply_in_background()
    wait_for(lambda: f"(detach-disk of {vm})" in estate.agent_log("h1"), "the detachment", 60)
    kill_agent(estate.lab, "h1")
    start_agent(estate.lab, "h1")
    finish(process, (4,))
    assert estate.record(vm).disks == ("disk/keeps-root", "disk/kept")

    estate.virsh("h1", "resume", estate.uuid(vm))
    estate.apply_until_settled()
    assert estate.record(vm).disks == ("disk/keeps-root",)
    estate.assert_undisturbed(vm, before)
    estate.assert_settled()
