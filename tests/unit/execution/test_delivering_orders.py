"""One step and its order: repeated only as transport, its fate found out, never begun without journal and lease."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nodeagent.wire.orders import Evidence, HostEvidence, Order
from reconciler.execution.orders import SecretUnavailableError, secret_digest
from reconciler.execution.run import Applier, PlanRun
from reconciler.model.outcome import ApplyOutcome
from reconciler.store.journal import BegunStep, Journal, JournalError
from reconciler.store.store import Store, open_memory_store
from tests.fakes.fleet import DATA_CENTER, refuses_to_answer, uuid_of

from .conftest import Bench, make_plan, make_step, states

STEP = "vm/1#resume"


def only(outcome: ApplyOutcome) -> tuple[str, str]:
    return outcome.steps[STEP].state.value, outcome.steps[STEP].summary


def test_an_order_says_who_gives_it_about_what_and_until_when(bench: Bench) -> None:
    bench.fleet["host/h1"].epoch = 41

    bench.apply(make_plan(make_step("1")))

    (order,) = bench.fleet["host/h1"].orders
    assert (order.key, order.data_center, order.holder, order.epoch) == (
        "a1/vm/1#resume",
        DATA_CENTER,
        "ci",
        42,
    )
    assert order.timeout_ms == 10_000
    assert 0 <= order.deadline.boottime_ms - (1_000_000 + 10_000) <= 100  # that clock began at 1 000 000


def test_an_order_that_is_lost_on_its_way_is_sent_again(bench: Bench) -> None:
    bench.script("1", never_arrives=3)

    assert bench.apply(make_plan(make_step("1"))).achieved
    assert bench.effects == ["1"]


def test_an_order_whose_answer_is_lost_takes_effect_once(bench: Bench) -> None:
    bench.script("1", answers_lost=2)

    assert bench.apply(make_plan(make_step("1"))).achieved
    assert bench.effects == ["1"]
    assert len({order.digest for order in bench.fleet["host/h1"].orders}) == 1
    assert len(bench.fleet["host/h1"].orders) == 3


def test_an_order_that_never_gets_through_is_revoked_and_did_nothing(bench: Bench) -> None:
    bench.script("1", never_arrives=1000)

    outcome = bench.apply(make_plan(make_step("1")))

    state, summary = only(outcome)
    assert state == "failed"
    assert "never got the order; it was revoked" in summary
    assert f"revoke {STEP}" in bench.fleet["host/h1"].log
    assert bench.store.journal.unsettled(DATA_CENTER) == ()


def test_an_order_whose_answers_are_all_lost_is_found_in_the_ledger(bench: Bench) -> None:
    bench.script("1", answers_lost=1000)

    assert only(bench.apply(make_plan(make_step("1"))))[0] == "succeeded"
    assert bench.effects == ["1"]


def test_an_outcome_that_the_agent_cannot_tell_is_unknown_and_its_order_revoked(bench: Bench) -> None:
    bench.script("1", state="unknown", summary="the agent was restarted in the middle")

    outcome = bench.apply(make_plan(make_step("1"), make_step("2", "~1"), make_step("3", "1")))

    assert only(outcome) == ("unknown", "the agent was restarted in the middle; its order was revoked")
    assert states(outcome) == {"1": "unknown", "2": "succeeded", "3": "skipped"}
    assert bench.store.journal.unsettled(DATA_CENTER) == ()


def test_an_order_that_does_not_end_in_time_is_cancelled_and_stays_unsettled(bench: Bench) -> None:
    bench.script("1", seconds=10_000)

    outcome = bench.apply(make_plan(make_step("1")))

    assert only(outcome) == (
        "unknown",
        "its order is still being carried out",
    )
    assert [step.step_id for step in bench.store.journal.unsettled(DATA_CENTER)] == [STEP]
    assert 35 < bench.clock < 60


def test_a_step_of_a_host_that_falls_silent_is_unknown_within_bounds(bench: Bench) -> None:
    bench.script("1", seconds=5.0)

    async def cut_off(run: PlanRun) -> None:
        await asyncio.sleep(2)
        bench.fleet["host/h1"].silent = True

    outcome = bench.apply(make_plan(make_step("1")), during=cut_off)

    assert only(outcome)[0] == "unknown"
    assert "stays locked until the host answers" in outcome.steps[STEP].action
    assert bench.clock < 60


def test_a_host_that_comes_back_in_time_has_its_result_fetched(bench: Bench) -> None:
    bench.script("1", seconds=5.0)

    async def blink(run: PlanRun) -> None:
        await asyncio.sleep(2)
        bench.fleet["host/h1"].fault = refuses_to_answer()
        await asyncio.sleep(8)
        bench.fleet["host/h1"].fault = None

    assert bench.apply(make_plan(make_step("1")), during=blink).achieved


def test_a_host_that_does_not_answer_for_some_seconds_is_told_with_how_long_it_is_waited_for(
    bench: Bench,
) -> None:
    bench.script("1", seconds=5.0)

    async def die(run: PlanRun) -> None:
        await asyncio.sleep(2)
        bench.fleet["host/h1"].fault = refuses_to_answer()

    bench.apply(make_plan(make_step("1")), during=die)

    told = {one.message for one in bench.lines.progress if "does not answer" in one.message}
    assert len(told) == 1
    assert next(iter(told)).startswith("host/h1 does not answer; it is waited for at most ")


def test_a_host_that_answers_again_is_not_called_silent_any_more(bench: Bench) -> None:
    bench.script("1", seconds=20.0)

    async def blink(run: PlanRun) -> None:
        await asyncio.sleep(2)
        bench.fleet["host/h1"].fault = refuses_to_answer()
        await asyncio.sleep(8)
        bench.fleet["host/h1"].fault = None

    bench.apply(make_plan(make_step("1")), during=blink)

    assert any("does not answer" in one.message for one in bench.lines.progress)
    assert "does not answer" not in bench.lines.progress[-1].message


@pytest.mark.parametrize(
    "reason", ["stale-expects", "evidence", "invalid", "not-durable", "unsupported", "late"]
)
def test_a_refused_order_fails_its_step_at_once(bench: Bench, reason: Any) -> None:
    bench.script("1", refusals=[reason])

    outcome = bench.apply(make_plan(make_step("1"), make_step("2")))

    assert only(outcome) == ("failed", "as the script says")
    assert states(outcome)["2"] == "succeeded"
    assert len(bench.fleet["host/h1"].orders) == 2
    assert bench.clock < 2


def test_a_busy_object_is_waited_for(bench: Bench) -> None:
    bench.script("1", refusals=["busy", "busy"])

    assert bench.apply(make_plan(make_step("1"))).achieved


def test_a_lease_that_a_restarted_agent_forgot_is_renewed(bench: Bench) -> None:
    bench.script("1", seconds=3.0)

    async def restart(run: PlanRun) -> None:
        await asyncio.sleep(1)
        bench.fleet["host/h1"].lease_valid = False

    assert bench.apply(make_plan(make_step("1"), make_step("2", "1")), during=restart).achieved


def test_a_refusal_after_a_lost_answer_is_not_taken_for_the_whole_truth(bench: Bench) -> None:
    bench.script("1", never_arrives=1, refusals=["stale-expects"])

    outcome = bench.apply(make_plan(make_step("1")))

    assert only(outcome)[0] == "failed"
    assert f"revoke {STEP}" in bench.fleet["host/h1"].log


class FaultyJournal(Journal):
    """Cannot write its nth line, nor any later one."""

    def __init__(self, journal: Journal, good: int) -> None:
        self.__dict__.update(journal.__dict__)
        self.good = good

    def _write(self, *args: Any, **named: Any) -> None:
        if self.good == 0:
            raise JournalError("the journal cannot be written, so no order is sent: disk full; free space")
        self.good -= 1
        super()._write(*args, **named)


def faulty(store: Store, good: int) -> Store:
    store.journal = FaultyJournal(store.journal, good)
    return store


def test_without_a_durable_begin_no_order_is_sent_and_the_plan_ends(bench: Bench) -> None:
    outcome = bench.apply(
        make_plan(make_step("1"), make_step("2", "1")), store=faulty(open_memory_store(), 0)
    )

    assert bench.fleet["host/h1"].orders == []
    assert states(outcome) == {"1": "skipped", "2": "skipped"}
    assert "free space" in outcome.interrupted


def test_without_a_durable_end_no_dependent_starts(bench: Bench) -> None:
    outcome = bench.apply(
        make_plan(make_step("1"), make_step("2", "1")), store=faulty(open_memory_store(), 1)
    )

    assert states(outcome) == {"1": "succeeded", "2": "skipped"}
    assert bench.effects == ["1"]
    assert "free space" in outcome.interrupted


def test_every_order_is_journaled_before_it_is_sent(bench: Bench) -> None:
    missing: list[str] = []

    def look(order: Order) -> None:
        begun = [entry.step.key for entry in bench.store.journal.entries() if entry.event == "begin"]
        missing.extend({order.key} - set(begun))

    bench.fleet["host/h1"].before_order = look
    bench.apply(make_plan(make_step("1"), make_step("2", "1"), make_step("3")))

    assert len(bench.fleet["host/h1"].orders) == 3
    assert missing == []


def test_the_journal_tells_the_whole_story(bench: Bench) -> None:
    bench.script("1", outputs={"port": 5901})
    bench.apply(make_plan(make_step("1")))

    begin, end = bench.store.journal.entries("a1")
    assert begin.step == BegunStep("a1", STEP, "a1/vm/1#resume", "host/h1", "vm/1", "resume-vm", DATA_CENTER)
    assert end.outcome is not None
    assert (end.outcome.state.value, end.outcome.outputs, end.settled) == ("succeeded", {"port": 5901}, True)
    assert end.monotonic_ms - begin.monotonic_ms >= 100
    assert bench.store.applies.find("a1").state == "achieved"  # type: ignore[union-attr]


def secret_source(reference: str) -> str:
    if reference == "console/password":
        return "geheim"
    raise SecretUnavailableError(f"{reference} is not in the directory of secrets")


def test_a_secret_travels_with_its_order_and_stays_nowhere_else(bench: Bench) -> None:
    applier = Applier("ci", b"k" * 32, secret_source)
    step = make_step("1", secrets=("console/password",))

    assert bench.apply(make_plan(step), applier=applier).achieved

    (order,) = bench.fleet["host/h1"].orders
    assert order.secrets == {"console/password": "geheim"}
    assert order.secret_digests == {
        "console/password": secret_digest(b"k" * 32, "console/password", "geheim")
    }
    assert "geheim" not in repr(bench.store.journal.entries())
    assert "kkkk" not in repr(applier)


@pytest.mark.parametrize(
    ("applier", "summary"),
    [
        (Applier("ci", b"k" * 32, secret_source), "other/password is not in the directory of secrets"),
        (
            Applier("ci", b"k" * 32),
            "no source of secrets is set up, and other/password is needed; say --secrets DIR",
        ),
        (
            Applier("ci", b"", secret_source),
            "the data center's digest key is missing; `ostler pki init` makes it",
        ),
    ],
)
def test_a_secret_that_cannot_be_read_fails_its_step_before_anything_is_sent(
    bench: Bench, applier: Applier, summary: str
) -> None:
    outcome = bench.apply(make_plan(make_step("1", secrets=("other/password",))), applier=applier)

    assert only(outcome) == ("failed", summary)
    assert bench.fleet["host/h1"].orders == []


def test_equal_secrets_of_different_names_have_different_digests() -> None:
    assert secret_digest(b"k", "a/b", "x") != secret_digest(b"k", "c/d", "x")


Guests = Callable[[Any], None]


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (lambda agent: agent.guests.append(uuid_of(0xA0001)), "host/h2 runs the VM now"),
        (lambda agent: agent.processes.append(uuid_of(0xA0001)), "host/h2 has a QEMU process of the VM"),
        (lambda agent: setattr(agent, "guests_complete", False), "host/h2 does not know all its guests at this moment"),
        (lambda agent: setattr(agent, "uuid", uuid_of(77)), f"the agent at the address of host/h2 says that it is host {uuid_of(77)}"),
    ],
)  # fmt: skip
def test_evidence_is_read_again_directly_before_a_start(bench: Bench, arrange: Guests, reason: str) -> None:
    bench.script("2", seconds=3.0)

    async def change(run: PlanRun) -> None:
        await asyncio.sleep(1)
        arrange(bench.fleet["host/h2"])

    start = make_step("1", "2", leases=("host/h2",))
    outcome = bench.apply(make_plan(make_step("2"), start), during=change)

    assert only(outcome) == ("failed", f"its evidence does not hold any more: {reason}")
    assert bench.effects == ["2"]
    assert "state fresh" in bench.fleet["host/h2"].log


def test_a_start_whose_evidence_cannot_be_read_again_does_not_happen(bench: Bench) -> None:
    bench.script("2", seconds=3.0)

    async def cut_off(run: PlanRun) -> None:
        await asyncio.sleep(1)
        bench.fleet["host/h2"].silent = True

    start = make_step("1", "2", leases=("host/h2",))
    outcome = bench.apply(make_plan(make_step("2"), start), during=cut_off)

    assert "host/h2 cannot be asked whether it runs the VM" in only(outcome)[1]
    assert bench.effects == ["2"]


def proven(kind: Any, host: int) -> Any:
    return make_step("1", evidence=Evidence("hosts", 1, (HostEvidence(uuid_of(host), kind),)))


@pytest.mark.parametrize("kind", ["fenced", "confirmed"])
def test_a_host_that_was_proven_off_must_not_answer(bench: Bench, kind: Any) -> None:
    outcome = bench.apply(make_plan(proven(kind, 2)))
    assert only(outcome)[1].endswith("host/h2 was proven off, and its agent answers")

    bench.fleet["host/h2"].fault = refuses_to_answer()
    outcome = bench.apply(make_plan(proven(kind, 2)), apply_id="a2")
    assert "something answers at its address" in only(outcome)[1]

    bench.fleet["host/h2"].fault, bench.fleet["host/h2"].silent = None, True
    assert bench.apply(make_plan(proven(kind, 2)), apply_id="a3").achieved
    assert bench.effects == ["1"]


@pytest.mark.parametrize("kind", ["answered", "boot-changed"])
def test_every_host_that_answered_is_read_again_leased_or_not(bench: Bench, kind: Any) -> None:
    bench.fleet["host/h2"].guests.append(uuid_of(0xA0001))

    assert only(bench.apply(make_plan(proven(kind, 2))))[1].endswith("host/h2 runs the VM now")
    assert "cannot be asked" in only(bench.apply(make_plan(proven(kind, 99)), apply_id="a2"))[1]
    assert bench.apply(make_plan(proven(kind, 3)), apply_id="a3").achieved
