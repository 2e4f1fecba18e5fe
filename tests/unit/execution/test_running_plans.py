"""Steps of a plan: when they start, what follows a failure, limits, stopping."""

import asyncio
import time
from dataclasses import replace

import pytest

from reconciler.execution.ready import ReadySet
from reconciler.execution.run import PlanRun, RunLimits
from reconciler.model.outcome import ApplyOutcome, StepState
from reconciler.model.plan import Step
from reconciler.store.journal import ShownFrom
from tests.fakes.fleet import DATA_CENTER, uuid_of

from .conftest import Bench, make_plan, make_step, states


def test_a_plan_is_carried_out_in_the_order_of_its_edges(bench: Bench) -> None:
    outcome = bench.apply(make_plan(make_step("1"), make_step("2", "1"), make_step("3", "2", host="host/h2")))

    assert outcome.achieved
    assert not outcome.interrupted
    assert bench.lines.seen == [
        ("1", StepState.RUNNING),
        ("1", StepState.SUCCEEDED),
        ("2", StepState.RUNNING),
        ("2", StepState.SUCCEEDED),
        ("3", StepState.RUNNING),
        ("3", StepState.SUCCEEDED),
    ]


def test_independent_steps_run_at_once(bench: Bench) -> None:
    for name in "1234":
        bench.script(name, seconds=50.0)
    plan = make_plan(*(make_step(name, timeout_ms=90_000) for name in "1234"))

    assert bench.apply(plan).achieved
    assert bench.clock < 60


def test_dependents_of_a_failed_step_are_skipped_naming_it_and_other_branches_go_on(bench: Bench) -> None:
    bench.script("1", state="failed", summary="no space on the domain")
    plan = make_plan(
        make_step("1"),
        make_step("2", "1"),
        make_step("3", "2"),
        make_step("4"),
        make_step("5", "4"),
        make_step("6", "3", "5"),
    )

    outcome = bench.apply(plan)

    assert states(outcome) == {
        "1": "failed", "2": "skipped", "3": "skipped", "4": "succeeded", "5": "succeeded", "6": "skipped",
    }  # fmt: skip
    assert outcome.steps["vm/1#resume"].summary == "no space on the domain"
    assert {outcome.steps[f"vm/{name}#resume"].cause for name in "236"} == {"vm/1#resume"}
    assert not outcome.achieved
    assert not outcome.interrupted


def test_a_settled_edge_follows_a_failure_too(bench: Bench) -> None:
    bench.script("1", state="failed")

    outcome = bench.apply(
        make_plan(make_step("1"), make_step("2", "~1"), make_step("3", "1"), make_step("4", "~3"))
    )

    assert states(outcome) == {"1": "failed", "2": "succeeded", "3": "skipped", "4": "succeeded"}


def test_nothing_follows_a_step_whose_end_nobody_knows_not_even_by_a_settled_edge(bench: Bench) -> None:
    bench.script("1", seconds=5.0)

    async def cut_off(run: PlanRun) -> None:
        await asyncio.sleep(2)
        bench.fleet["host/h1"].silent = True

    outcome = bench.apply(make_plan(make_step("1"), make_step("2", "~1", host="host/h2")), during=cut_off)

    assert states(outcome) == {"1": "unknown", "2": "skipped"}


def test_three_like_failures_stop_the_plan(bench: Bench) -> None:
    for name in "123":
        bench.script(name, state="failed")
    bench.script("4", seconds=3.0)
    plan = make_plan(make_step("1"), make_step("2"), make_step("3"), make_step("4"), make_step("5", "4"))

    outcome = bench.apply(plan)

    assert states(outcome)["4"] == "succeeded"
    assert states(outcome)["5"] == "skipped"
    assert outcome.interrupted == "3 steps of kind resume-vm failed"


def test_protective_steps_go_on_when_like_failures_have_stopped_the_plan(bench: Bench) -> None:
    for name in "123":
        bench.script(name, state="failed")
    bench.script("4", seconds=3.0)
    saved = make_step("5", "4", protective=True)
    plan = make_plan(
        make_step("1"), make_step("2"), make_step("3"), make_step("4"), saved, make_step("6", "5")
    )

    outcome = bench.apply(plan)

    assert (states(outcome)["5"], states(outcome)["6"]) == ("succeeded", "skipped")
    assert outcome.interrupted == "3 steps of kind resume-vm failed"


def test_protective_steps_go_before_all_others() -> None:
    steps = (make_step("1"), make_step("2"), make_step("3", protective=True))

    ready = ReadySet(steps, {}, 1, {})

    assert [step.protective for step in ready.take()] == [True]


def test_failures_of_different_kinds_are_not_like_failures(bench: Bench) -> None:
    kinds = {"1": "resume-vm", "2": "pause-vm", "3": "resume-vm"}
    for name in kinds:
        bench.script(name, state="failed")
    steps = [make_step(name, kind=kind) for name, kind in kinds.items()]

    outcome = bench.apply(make_plan(*steps, make_step("4"), make_step("5", "4")))

    assert states(outcome)["5"] == "succeeded"


def test_protective_failures_never_stop_a_plan(bench: Bench) -> None:
    for name in "1234":
        bench.script(name, state="failed")
    steps = [make_step(name, protective=True) for name in "1234"]

    assert states(bench.apply(make_plan(*steps, make_step("5"), make_step("6", "5"))))["6"] == "succeeded"


def test_no_host_gets_more_orders_at_once_than_its_limit(bench: Bench) -> None:
    for number in range(20):
        bench.script(str(number), seconds=10.0)
    plan = make_plan(*(make_step(str(number), timeout_ms=60_000) for number in range(20)))

    assert bench.apply(plan, limits=RunLimits(orders_per_host=8)).achieved
    assert 30 < bench.clock < 40  # 8 + 8 + 4


def test_a_host_takes_part_in_no_more_migrations_than_the_limit_counting_both_ends() -> None:
    def move(name: str, source: int, destination: int) -> Step:
        args = {"vm": uuid_of(0xA0), "destination": uuid_of(destination)}
        return make_step(name, host=f"host/h{source}", kind="migrate-vm", args=args)

    hosts = {uuid_of(number): f"host/h{number}" for number in range(1, 5)}
    steps = (move("1", 1, 2), move("2", 1, 3), move("3", 3, 2), move("4", 4, 1), make_step("5"))
    ready = ReadySet(steps, {"migrations-per-host": dict.fromkeys(hosts.values(), 1)}, 8, hosts)

    assert [step.object for step in ready.take()] == ["vm/1", "vm/5"]
    assert ready.waiting()["vm/2#resume"] == "host/h1 takes part in 1 migrations, its limit"
    ready.end("vm/1#resume", succeeded=True, settled=True)
    assert [step.object for step in ready.take()] == ["vm/2"]
    ready.end("vm/2#resume", succeeded=True, settled=True)
    assert [step.object for step in ready.take()] == ["vm/3", "vm/4"]


def test_what_waits_says_for_what(bench: Bench) -> None:
    bench.script("1", seconds=5.0)
    seen: dict[str, str] = {}

    async def look(run: PlanRun) -> None:
        await asyncio.sleep(1)
        seen.update(run.waiting())

    bench.apply(make_plan(make_step("1"), make_step("2", "1"), make_step("3", "1", "2")), during=look)

    assert seen == {
        "vm/2#resume": "after vm/1#resume (test-rule)",
        "vm/3#resume": "after vm/1#resume (test-rule), vm/2#resume (test-rule)",
    }


def test_a_stop_finishes_running_steps_and_starts_no_more(bench: Bench) -> None:
    bench.script("1", seconds=5.0)

    async def stop(run: PlanRun) -> None:
        await asyncio.sleep(1)
        run.stop("interrupted by the keyboard")

    outcome = bench.apply(make_plan(make_step("1"), make_step("2", "1"), make_step("3", "2")), during=stop)

    assert states(outcome) == {"1": "succeeded", "2": "skipped", "3": "skipped"}
    assert outcome.interrupted == "interrupted by the keyboard"
    assert outcome.steps["vm/3#resume"].cause == "interrupted by the keyboard"
    assert bench.store.applies.find("a1").state == "interrupted"  # type: ignore[union-attr]


def test_a_stop_after_the_last_start_interrupts_nothing(bench: Bench) -> None:
    bench.script("1", seconds=5.0)

    async def stop(run: PlanRun) -> None:
        await asyncio.sleep(1)
        run.stop("too late")

    outcome = bench.apply(make_plan(make_step("1")), during=stop)

    assert outcome.achieved
    assert not outcome.interrupted


def test_another_process_can_ask_for_the_end(bench: Bench) -> None:
    bench.script("1", seconds=5.0)

    async def cancel(run: PlanRun) -> None:
        await asyncio.sleep(1)
        assert bench.store.applies.request_stop("a1", "cancelled by ops")

    outcome = bench.apply(make_plan(make_step("1"), make_step("2", "1")), during=cancel)

    assert states(outcome) == {"1": "succeeded", "2": "skipped"}
    assert outcome.interrupted == "cancelled by ops"


def test_progress_of_a_long_step_is_shown(bench: Bench) -> None:
    bench.script("1", seconds=8.0)

    bench.apply(make_plan(make_step("1")))

    assert {(one.done_bytes, one.total_bytes) for one in bench.lines.progress} == {(1, 2)}


def test_a_step_is_given_what_an_earlier_one_found_out(bench: Bench) -> None:
    bench.script("1", outputs={"port": 5901})
    late = make_step("2", "1", args={"vm": uuid_of(2), "port": {"from": "vm/1#resume", "output": "port"}})

    assert bench.apply(make_plan(make_step("1"), late)).achieved
    assert bench.fleet["host/h1"].orders[-1].arguments["port"] == 5901


def test_a_value_that_no_step_gave_fails_its_step_alone(bench: Bench) -> None:
    late = make_step("2", "1", args={"vm": uuid_of(2), "port": {"from": "vm/1#resume", "output": "port"}})

    assert states(bench.apply(make_plan(make_step("1"), late))) == {"1": "succeeded", "2": "failed"}


@pytest.mark.parametrize("count", [3000])
def test_a_long_plan_costs_no_more_than_its_length(count: int) -> None:
    steps = [make_step(str(number), *([str(number - 1)] if number % 3 else [])) for number in range(count)]
    ready, begin = ReadySet(steps, {}, 8, {}), time.process_time()
    ended = 0
    while taken := ready.take():
        for step in taken:
            ready.end(step.id, succeeded=True, settled=True)
            ended += 1

    assert ended == count
    assert time.process_time() - begin < 5


def test_a_host_gets_one_order_of_an_object_at_a_time(bench: Bench) -> None:
    first, second = make_step("1"), replace(make_step("2"), object="vm/1")
    third = make_step("3")
    bench.script("1", seconds=5)

    outcome = bench.apply(make_plan(first, second, third))

    assert outcome.achieved
    began = [name for name, state in bench.lines.seen if state is StepState.RUNNING]
    assert began == ["1", "3", "2"]


def test_the_store_knows_from_which_facts_on_a_result_shows(bench: Bench) -> None:
    before = bench.fleet["host/h1"].document()

    bench.apply(make_plan(make_step("a")))

    agent = bench.fleet["host/h1"]
    known = bench.store.journal.results_beyond(DATA_CENTER, {agent.ledger_id: before.generation})
    assert known == (ShownFrom(agent.ledger_id, "vm/a", agent.generation),)
    assert agent.generation > before.generation


def test_the_waiting_steps_of_an_object_can_be_withdrawn_while_the_rest_goes_on(bench: Bench) -> None:
    bench.script("1", seconds=5.0)
    plan = make_plan(
        make_step("1"), make_step("2", "1"), make_step("3", "2"), make_step("4", "~2"), make_step("5")
    )

    async def withdraw(run: PlanRun) -> None:
        await asyncio.sleep(1)
        assert [step.object for step in run.waiting_steps()] == ["vm/2", "vm/3", "vm/4"]
        run.withdraw("vm/2", "it failed meanwhile")
        run.withdraw("vm/1", "it runs already, so nothing is left to withdraw")

    outcome = bench.apply(plan, during=withdraw)

    assert states(outcome) == {
        "1": "succeeded", "2": "withdrawn", "3": "skipped", "4": "succeeded", "5": "succeeded",
    }  # fmt: skip
    assert outcome.steps["vm/3#resume"].cause == "vm/2#resume"
    assert not outcome.achieved


def test_a_run_beside_another_orders_by_the_others_leases_and_leaves_them_to_it(bench: Bench) -> None:
    bench.script("1", seconds=20.0)
    second: list[ApplyOutcome] = []

    async def restart(run: PlanRun) -> None:
        await asyncio.sleep(1)
        other = bench.plan_run(make_plan(make_step("2", protective=True)), "a2", beside=run)
        second.append(await other.run())

    outcome = bench.apply(make_plan(make_step("1")), during=restart)

    assert outcome.achieved
    assert second[0].achieved
    assert bench.effects == ["1", "2"]
