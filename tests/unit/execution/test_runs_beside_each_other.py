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


def test_a_plan_that_begins_while_leases_are_given_back_takes_them_anew(bench: Bench) -> None:
    """A silent host makes the giving back last; the second plan begins in the middle of it."""
    bench.script("1", seconds=5.0)
    bench.script("2", seconds=5.0)

    async def begin_second(first: PlanRun) -> None:
        await asyncio.sleep(3)
        bench.fleet["host/h2"].silent = True
        await first.ended.wait()
        await asyncio.sleep(1)
        bench.fleet["host/h2"].silent = False
        found.append(
            await bench.plan_run(make_plan(make_step("2"), make_step("3", "2")), "a2", beside=first).run()
        )

    found: list[ApplyOutcome] = []
    bench.apply(make_plan(make_step("1"), make_step("4", host="host/h2")), during=begin_second)

    assert states(found[0]) == {"2": "succeeded", "3": "succeeded"}


def test_protective_steps_do_not_wait_for_other_orders_of_their_host() -> None:
    slots = Slots()
    first = ReadySet((make_step("1"),), {}, 1, {}, slots)
    second = ReadySet((make_step("2"), make_step("3", protective=True)), {}, 1, {}, slots)
    first.take()

    assert [step.id for step in second.take()] == ["vm/3#resume"]
    assert second.held_by_others() is False  # its own step runs
