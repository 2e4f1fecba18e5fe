"""Hosts cut off from the network: nothing is started twice, whatever is lost, and VMs end up in one place."""

from collections.abc import Iterator

import pytest

from reconciler.lab.network import cut_network, restore_network
from tests.lab.apply_estate import SLOW_MIGRATION, Estate, finish, wait_for


@pytest.fixture
def cables(estate: Estate) -> Iterator[Estate]:
    """The estate, whose hosts are all connected again afterwards."""
    yield estate
    for host in estate.lab.hosts:
        restore_network(estate.lab, host.name)


def lose_store(estate: Estate) -> None:
    lost = list(estate.home.glob("store.sqlite*"))
    assert lost
    for path in lost:
        path.unlink()


def test_a_vm_of_a_host_cut_off_is_blocked_by_that_host_although_the_store_is_lost(cables: Estate) -> None:
    estate = cables
    vm = estate.declare_vm("islander", placement={"hosts": ["h3"]})
    neighbour = estate.declare_vm("neighbour", disk=None, placement={"hosts": ["h2"]})
    estate.apply()
    before, other = estate.see(vm), estate.see(neighbour)
    estate.change(vm, placement=None)
    cut_network(estate.lab, "h3")
    lose_store(estate)

    plan, shown = estate.plan()
    assert shown.status == 3, shown
    blocked = {one.object: one for one in plan.blocked}
    assert "host/h3" in blocked[vm].reason + blocked[vm].action, shown
    assert not [step for step in plan.steps if step.object == vm], shown
    refused = estate.apply(status=3)
    assert "host/h3" in refused.out + refused.err
    estate.assert_undisturbed(vm, before)

    fresh = estate.declare_vm("newcomer", disk=None, placement={"hosts": ["h1"]})
    plan, shown = estate.plan()
    assert [step.kind for step in plan.steps if step.object == fresh] == ["write-vm-record", "start-vm"], (
        shown
    )

    restore_network(estate.lab, "h3")
    wait_for(lambda: estate.plan()[1].status == 2, "the host to answer again")
    estate.apply()
    estate.assert_undisturbed(vm, before)
    estate.assert_undisturbed(neighbour, other)
    estate.assert_settled()


@pytest.mark.parametrize("cut", ["h1", "h2"])
def test_a_vm_is_in_one_place_after_its_migration_lost_the_network(cables: Estate, cut: str) -> None:
    estate = cables
    vm = estate.declare_vm(f"torn-{cut}", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION | {"bandwidth": "4Mi"})
    estate.apply()
    before = estate.see(vm)
    estate.change(vm, placement={"hosts": ["h2"]})
    process = estate.apply_in_background()
    wait_for(lambda: estate.migration_runs(vm, "h1"), "the migration")
    cut_network(estate.lab, cut)
    finish(process, (3, 4))
    plan, shown = estate.plan()
    assert not [step for step in plan.steps if step.object == vm], shown

    restore_network(estate.lab, cut)
    estate.apply_until_settled(statuses=(0, 3, 4))
    assert estate.homes(vm) == ["h2"]
    estate.assert_undisturbed(vm, before, moved=True)
    estate.assert_settled()
