"""Plans that are carried out at the same time: limits of hosts are shared, leases last as long as one of them runs."""

import asyncio

from reconciler.execution.ready import ReadySet
from reconciler.execution.run import PlanRun, RunLimits
from reconciler.execution.slots import Slots
from reconciler.model.outcome import ApplyOutcome

from .conftest import Bench, make_plan, make_step, states


def test_orders_of_a_host_are_counted_over_all_plans() -> None:
    slots = Slots()
    first = ReadySet((make_step("1"),), {}, 1, {}, slots)
    second = ReadySet((make_step("2"),), {}, 1, {}, slots)
    taken = first.take()

    assert not second.take()
    assert second.held_by_others()
    first.end(taken[0].id, succeeded=True, settled=True)
    assert [step.id for step in second.take()] == ["vm/2#resume"]


def run_beside(bench: Bench, first_s: float, second_s: float, limits: RunLimits) -> dict[str, ApplyOutcome]:
    """Two plans, the second begun a second after the first; the first has one step, the second two."""
    bench.script("1", seconds=first_s)
    bench.script("2", seconds=second_s)
    found: dict[str, ApplyOutcome] = {}

    async def begin_second(first: PlanRun) -> None:
        await asyncio.sleep(1)
        plan = make_plan(make_step("2", timeout_ms=90_000), make_step("3", "2"))
        found["second"] = await bench.plan_run(plan, "a2", beside=first, limits=limits).run()

    plan = make_plan(make_step("1", timeout_ms=90_000))
    found["first"] = bench.apply(plan, during=begin_second, limits=limits)
    return found


def test_a_plan_goes_on_under_the_leases_of_one_that_has_ended(bench: Bench) -> None:
    found = run_beside(bench, 5.0, 60.0, RunLimits())

    assert found["first"].achieved
    assert states(found["second"]) == {"2": "succeeded", "3": "succeeded"}
    assert bench.fleet["host/h1"].log[-1] == "give-up"


def test_a_plan_whose_steps_find_no_slot_waits_for_the_other_one(bench: Bench) -> None:
    found = run_beside(bench, 50.0, 5.0, RunLimits(orders_per_host=1))

    assert found["second"].achieved
    assert 55 <= bench.clock < 65
