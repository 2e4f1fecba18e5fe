"""Hosts emptied and filled again without a guest noticing, and what befalls guests behind Ostler's back."""

import signal

import pytest

from reconciler.lab.inside import host_init, run_in
from reconciler.lab.power import power_off, power_on
from reconciler.lab.services import kill_agent, start_agent
from tests.lab.apply_estate import Estate, wait_for


def declare_pair(estate: Estate, name: str, **spec: object) -> list[str]:
    nics = [{"name": "nic1", "network": "lan"}]
    return [estate.declare_vm(f"{name}-{letter}", nics=nics, **spec) for letter in "ab"]


def test_a_host_is_emptied_by_live_migration_and_opened_again(estate: Estate) -> None:
    vms = [
        *declare_pair(estate, "empty", placement={"hosts": ["h1", "h2"]}),
        estate.declare_vm("empty-first", disk=None, priority=90, placement={"hosts": ["h1", "h2"]}),
    ]
    estate.change("host/h2", maintenance=True)
    estate.apply()
    assert {estate.home_of(vm) for vm in vms} == {"h1"}
    before = {vm: estate.see(vm) for vm in vms}
    estate.change("host/h2", maintenance=None)
    estate.change("host/h1", maintenance=True)

    plan, shown = estate.plan()
    moves = [step for step in plan.steps if step.kind == "migrate-vm"]
    assert moves[0].object == "vm/empty-first", shown
    assert {step.object for step in moves} == set(vms)
    assert {step.disruption for step in moves} == {"live-migrate"}
    closing = next(step for step in plan.steps if step.id == "host/h1#enter-maintenance")
    assert {edge.step for edge in closing.after} >= {step.id for step in moves}
    done = estate.apply()
    for vm in vms:
        estate.assert_undisturbed(vm, before[vm], moved=True)
        assert estate.record(vm).run is not None
        assert [one.uuid for one in estate.record(vm).run.hosts] == [estate.lab.host("h2").uuid]
    ends = [line for line in done.err.splitlines() if " done " in line]
    assert "enter-maintenance" in ends[-1], done
    estate.assert_settled()

    estate.change("host/h1", maintenance=None)
    estate.apply()
    estate.assert_settled()
    assert {estate.home_of(vm) for vm in vms} == {"h2"}, "opening a host moves nothing back"


def test_a_pinned_vm_holds_its_host_back_and_the_others_leave(estate: Estate) -> None:
    held = estate.declare_vm("held", disk=None, placement={"hosts": ["h1"], "migration": "Pinned"})
    free = estate.declare_vm("free", disk=None, placement={"hosts": ["h1"]})
    estate.apply()
    before = {vm: estate.see(vm) for vm in (held, free)}
    estate.change(free, placement=None)
    estate.change("host/h1", maintenance=True)
    plan, shown = estate.plan()
    assert shown.status == 3, shown
    assert held in [one.object for one in plan.blocked], shown
    estate.apply(status=3)
    estate.assert_undisturbed(free, before[free], moved=True)
    estate.assert_undisturbed(held, before[held])
    estate.change("host/h1", maintenance=None)
    estate.apply()
    estate.assert_settled()


def destroy(estate: Estate, vm: str, host: str) -> None:
    estate.virsh(host, "destroy", estate.uuid(vm))


def kill_qemu(estate: Estate, vm: str, host: str) -> None:
    killed = run_in(estate.lab, host, ["pkill", f"-{signal.SIGKILL.value}", "-f", f"guest={estate.uuid(vm)}"])
    assert killed.returncode == 0


@pytest.mark.parametrize(("loss", "cause"), [(destroy, "destroyed"), (kill_qemu, "crashed")])
def test_a_vm_lost_behind_our_back_is_named_with_its_cause_and_runs_again(
    estate: Estate, loss, cause: str
) -> None:
    vm, other = declare_pair(estate, cause)
    estate.apply()
    before, bystander = estate.see(vm), estate.see(other)
    loss(estate, vm, before.host)
    wait_for(lambda: not estate.homes(vm), "the guest to be gone")

    plan, shown = estate.plan()
    assert shown.status == 2, shown
    assert [(one.object, cause in one.cause) for one in plan.drift] == [(vm, True)], shown
    assert {step.object for step in plan.steps} == {vm}
    start = next(step for step in plan.steps if step.kind == "start-vm")
    assert ("restart-on-failure", cause) in [(one.rule, one.ref) for one in start.because], shown
    estate.apply()
    assert estate.report(vm).boot != before.boot
    estate.assert_undisturbed(other, bystander)
    run = estate.record(vm).run
    assert run is not None
    assert (run.number, run.closed) == (2, None)
    estate.assert_settled()


def test_a_vm_destroyed_while_no_agent_looked_is_named_with_its_cause(estate: Estate) -> None:
    vm = estate.declare_vm("unwatched")
    estate.apply()
    before = estate.see(vm)
    kill_agent(estate.lab, before.host)
    destroy(estate, vm, before.host)
    start_agent(estate.lab, before.host)
    plan, shown = wait_for(lambda: estate.plan() if estate.plan()[0].steps else None, "the host to answer")
    assert [(one.object, "destroyed" in one.cause) for one in plan.drift] == [(vm, True)], shown
    estate.apply()
    assert estate.report(vm).boot != before.boot


def test_vms_of_a_host_that_lost_power_run_again_once_it_is_back(estate: Estate) -> None:
    vms = [estate.declare_vm(name, placement={"hosts": ["h3"]}) for name in ("dark-a", "dark-b")]
    elsewhere = estate.declare_vm("lit", disk=None, placement={"hosts": ["h2"]})
    estate.apply()
    before, bystander = {vm: estate.see(vm) for vm in vms}, estate.see(elsewhere)
    power_off(estate.lab, "h3")
    plan, shown = estate.plan()
    assert shown.status == 3, shown
    assert {one.object for one in plan.blocked} >= set(vms), shown
    assert all("host/h3" in one.reason + one.action for one in plan.blocked if one.object in vms), shown
    assert not plan.steps, shown

    power_on(estate.lab, "h3")
    assert host_init(estate.lab, "h3")
    plan, shown = estate.plan()
    assert {one.object for one in plan.drift} == set(vms), shown
    assert all("host-lost" in one.cause for one in plan.drift), shown
    estate.apply()
    for vm in vms:
        assert estate.report(vm).boot != before[vm].boot
    estate.assert_undisturbed(elsewhere, bystander)
    estate.assert_settled()


def test_a_vm_of_a_host_confirmed_off_runs_elsewhere(estate: Estate) -> None:
    vm = estate.declare_vm("moves", placement={"hosts": ["h3"]})
    estate.apply()
    before = estate.see(vm)
    estate.change(vm, placement=None)
    power_off(estate.lab, "h3")
    assert estate.plan()[0].steps == ()
    confirmed = estate.ostler("host", "confirm-off", "h3", "-f", str(estate.write()), "--yes")
    assert confirmed.status == 0, confirmed
    estate.apply(status=(0, 3))
    now = estate.see(vm)
    assert now.host != "h3"
    assert now.boot != before.boot
    power_on(estate.lab, "h3")
    estate.apply()
    estate.assert_undisturbed(vm, now)
    estate.assert_settled()
