"""The right to order: taken in id order with one epoch above all, renewed, lost, given up; new ledgers resynced."""

import asyncio

import pytest

from reconciler.execution.leases import LeaseLostError, Leases
from reconciler.execution.run import Applier, PlanRun
from reconciler.simulation.clock import run_in_virtual_time
from tests.fakes.fleet import DATA_CENTER, FakeAgent, make_fleet, refuses_to_answer, states_of

from .conftest import Bench, make_plan, make_step, states


def leases_of(fleet: dict[str, FakeAgent], above: int = 0, *, takeover: bool = False) -> Leases:
    return Leases(fleet, data_center=DATA_CENTER, holder="ci", epoch_above=above, takeover=takeover)


def test_leases_are_taken_in_id_order() -> None:
    fleet, order = make_fleet(3), []
    for agent in fleet.values():
        agent.log = order  # one log for all
    by_name = {agent.uuid: name for name, agent in fleet.items()}

    async def main() -> None:
        await leases_of(fleet).acquire(["host/h3", "host/h1", "host/h2"], {})

    run_in_virtual_time(main())
    assert order == ["lease 1"] * 3
    assert [agent.lease_until_s for agent in fleet.values()] == sorted(
        a.lease_until_s for a in fleet.values()
    )
    assert len(by_name) == 3


def test_the_epoch_is_above_every_agents_even_one_that_nobody_had_seen() -> None:
    fleet = make_fleet(3)
    fleet["host/h2"].epoch, fleet["host/h2"].holder = 9, "somebody"

    async def main() -> Leases:
        leases = leases_of(fleet, above=3)
        assert await leases.acquire(fleet, {}) == {}
        return leases

    assert run_in_virtual_time(main()).epoch == 10
    assert [agent.epoch for agent in fleet.values()] == [10, 10, 10]


def test_a_host_that_does_not_answer_fails_only_the_steps_that_need_it(bench: Bench) -> None:
    bench.fleet["host/h2"].silent = True
    plan = make_plan(
        make_step("1"),
        make_step("2", host="host/h2"),
        make_step("3", leases=("host/h2",)),
        make_step("4", host="host/h3"),
    )

    outcome = bench.apply(plan)

    assert states(outcome) == {"1": "succeeded", "2": "failed", "3": "failed", "4": "succeeded"}
    assert "no lease" in outcome.steps["vm/2#resume"].summary
    assert not outcome.interrupted


def test_a_host_without_an_address_fails_only_its_steps(bench: Bench) -> None:
    outcome = bench.apply(make_plan(make_step("1"), make_step("2", host="host/nowhere")))

    assert states(outcome) == {"1": "succeeded", "2": "failed"}


def test_another_appliers_lease_refuses_the_whole_plan(bench: Bench) -> None:
    other = bench.fleet["host/h2"]
    other.holder, other.epoch, other.lease_until_s, other.lease_valid = "laptop", 5, 25.0, True

    outcome = bench.apply(make_plan(make_step("1"), make_step("2", host="host/h2")))

    assert "laptop holds this host" in outcome.refused
    assert outcome.steps == {}
    assert not outcome.achieved
    assert bench.effects == []
    assert bench.fleet["host/h1"].lease_until_s <= bench.clock  # given up again


def test_a_takeover_ends_another_appliers_lease(bench: Bench) -> None:
    other = bench.fleet["host/h2"]
    other.holder, other.epoch, other.lease_until_s, other.lease_valid = "laptop", 5, 25.0, True

    outcome = bench.apply(make_plan(make_step("2", host="host/h2")), applier=Applier("ci", takeover=True))

    assert outcome.achieved
    assert (other.holder, other.epoch) == ("ci", 6)


def test_leases_are_renewed_while_a_long_step_runs_and_given_up_at_the_end(bench: Bench) -> None:
    bench.script("1", seconds=100.0)

    outcome = bench.apply(make_plan(make_step("1", timeout_ms=200_000), make_step("2", "1")))

    assert outcome.achieved
    log = bench.fleet["host/h1"].log
    assert log.count("lease 1") >= 10
    assert log[-1] == "give-up"
    assert bench.fleet["host/h1"].lease_until_s <= bench.clock


def test_a_plan_that_is_taken_over_starts_nothing_more(bench: Bench) -> None:
    bench.script("1", seconds=20.0)

    async def take_over(run: PlanRun) -> None:
        await asyncio.sleep(5)
        agent = bench.fleet["host/h1"]
        agent.holder, agent.epoch, agent.lease_until_s = "controller-2", 50, 100.0

    plan = make_plan(make_step("1", timeout_ms=60_000), make_step("2", "1", host="host/h2"))
    outcome = bench.apply(plan, during=take_over)

    assert states(outcome) == {"1": "succeeded", "2": "skipped"}
    assert outcome.interrupted


def test_a_lease_ends_when_nobody_renews_it() -> None:
    fleet = make_fleet(1)

    async def main() -> None:
        leases = leases_of(fleet)
        await leases.acquire(fleet, {})
        held = leases.lease("host/h1")
        await asyncio.sleep(29.5)
        assert leases.lease("host/h1") is held
        fleet["host/h1"].fault = refuses_to_answer()
        await asyncio.sleep(1)
        with pytest.raises(LeaseLostError, match="has ended"):
            await leases.ensure("host/h1")
        fleet["host/h1"].fault = None
        assert (await leases.ensure("host/h1")).grant.epoch == held.grant.epoch

    run_in_virtual_time(main())


def test_a_lapsed_lease_that_somebody_else_had_is_not_renewed() -> None:
    fleet = make_fleet(1)

    async def main() -> None:
        leases = leases_of(fleet)
        await leases.acquire(fleet, {})
        await asyncio.sleep(31)
        fleet["host/h1"].epoch, fleet["host/h1"].holder = 2, "laptop"
        with pytest.raises(LeaseLostError, match="not above 2"):
            await leases.ensure("host/h1")
        assert leases.taken_over

    run_in_virtual_time(main())


def test_a_new_ledger_is_resynced_before_its_first_order(bench: Bench) -> None:
    bench.fleet["host/h1"].resync_needed = True

    assert bench.apply(make_plan(make_step("1"))).achieved
    log = bench.fleet["host/h1"].log
    assert log.index("lease 1") < log.index("resync") < log.index("order vm/1#resume")


def test_a_new_ledger_is_not_resynced_while_its_guests_are_not_all_known(bench: Bench) -> None:
    bench.fleet["host/h1"].resync_needed = True
    bench.fleet["host/h1"].guests_complete = False

    outcome = bench.apply(make_plan(make_step("1")))

    assert "guests are not all known yet" in outcome.steps["vm/1#resume"].summary
    assert "resync" not in bench.fleet["host/h1"].log


def test_states_of_the_fake_fleet_leave_out_who_does_not_answer() -> None:
    fleet = make_fleet(2)
    fleet["host/h2"].silent = True

    assert list(states_of(fleet)) == ["host/h1"]
