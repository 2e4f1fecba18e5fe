"""A guest moves only to a host that takes it at that moment: the destination's agent cannot refuse a migration."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nodeagent.wire.facts import OrderFacts
from reconciler.execution.run import PlanRun
from reconciler.model.plan import Step
from tests.fakes.fleet import FakeAgent, uuid_of

from .conftest import Bench, make_plan, make_step, states


def move(bench: Bench, *after: str, **fields: Any) -> Step:
    """The migration of vm/1 from host/h1 to host/h2."""
    there = bench.fleet["host/h2"]
    args = {
        "vm": uuid_of(0xA0001),
        "destination": there.uuid,
        "destination_boot_id": there.boot_id,
    }
    return make_step("1", *after, kind="migrate-vm", args=args, leases=("host/h2",), **fields)


def summary(outcome: Any) -> str:
    return str(outcome.steps["vm/1#resume"].summary)


def test_a_guest_moves_to_a_host_that_takes_it(bench: Bench) -> None:
    assert bench.apply(make_plan(move(bench), most_migrations=2)).achieved


def being_closed(agent: FakeAgent) -> None:
    agent.open_orders.append(OrderFacts("a0/x", "set-maintenance", "host/h2", "running"))


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (lambda agent: setattr(agent, "maintenance", True), "host/h2 is in maintenance"),
        (being_closed, "host/h2 is about to change its maintenance"),
        (lambda agent: setattr(agent, "boot_id", uuid_of(9)), "host/h2 has booted since the plan was made"),
    ],
)
def test_a_host_that_closed_or_booted_meanwhile_gets_no_guest(
    bench: Bench, arrange: Callable[[FakeAgent], None], reason: str
) -> None:
    bench.script("2", seconds=3.0)

    async def change(_run: PlanRun) -> None:
        await asyncio.sleep(1)
        arrange(bench.fleet["host/h2"])

    plan = make_plan(make_step("2"), move(bench, "2"))
    outcome = bench.apply(plan, during=change)

    assert states(outcome)["1"] == "failed"
    assert summary(outcome) == f"its guest cannot come: {reason}"
    assert bench.effects == ["2"]


def test_a_destination_that_cannot_be_asked_gets_no_guest(bench: Bench) -> None:
    bench.script("2", seconds=3.0)

    async def cut_off(_run: PlanRun) -> None:
        await asyncio.sleep(1)
        bench.fleet["host/h2"].silent = True

    outcome = bench.apply(make_plan(make_step("2"), move(bench, "2")), during=cut_off)

    assert "host/h2 cannot be asked whether it takes guests" in summary(outcome)
    assert bench.effects == ["2"]


def test_guests_that_another_applier_had_sent_count_at_the_destination(bench: Bench) -> None:
    """Its lease may have lapsed, and libvirt carries on what it had begun."""
    there = bench.fleet["host/h2"]
    there.incoming = [uuid_of(0xB1), uuid_of(0xB2)]

    async def arrive(_run: PlanRun) -> None:
        await asyncio.sleep(7)
        there.guests.append(there.incoming.pop())

    outcome = bench.apply(make_plan(move(bench, timeout_ms=60_000), most_migrations=2), during=arrive)

    assert outcome.achieved
    assert 7 < bench.clock < 10


def test_a_destination_that_is_full_all_the_time_is_told(bench: Bench) -> None:
    bench.fleet["host/h2"].incoming = [uuid_of(0xB1)]
    outcome = bench.apply(make_plan(move(bench, timeout_ms=20_000), most_migrations=1))

    assert "takes in 1 other guests all the time, its limit" in summary(outcome)
    assert bench.effects == []


def test_without_a_limit_any_number_arrives(bench: Bench) -> None:
    bench.fleet["host/h2"].incoming = [uuid_of(number) for number in range(20)]
    assert bench.apply(make_plan(move(bench))).achieved
