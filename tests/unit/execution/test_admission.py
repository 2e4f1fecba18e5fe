"""The first gate: a plan that rests on something else than what is there now is refused, and says why."""

from dataclasses import replace
from typing import Any

import pytest

from nodeagent.wire.facts import GuestFacts, HostCapabilities, HostState, LeaseFacts
from nodeagent.wire.orders import Evidence, Expectation
from nodeagent.wire.records import VmRecord
from nodeagent.wire.version import Format
from reconciler.execution.admission import Fresh, refuse_plan
from reconciler.execution.locks import locked_by_journal, locked_by_orders, locked_by_results
from reconciler.model.change import Disruption
from reconciler.model.observed import (
    HostObservation,
    Observed,
    OpenOrder,
    OutdatedFacts,
    Presence,
    VmObservation,
)
from reconciler.model.plan import Basis, Plan
from reconciler.store.journal import BegunStep
from tests.fakes.fleet import DATA_CENTER, uuid_of

from .conftest import make_plan, make_step

VM = uuid_of(0xA0001)
BASIS = Basis({"vm/1": "m1", "host/h1": "h1"}, {"vm/1": "a0/vm/1#start"})


def record(**fields: Any) -> VmRecord:
    given = {"revision": 1, "incarnation": 1, "machine": "pc-q35-7.2", "cpu_model": "qemu64", **fields}
    return VmRecord(VM, "vm/1", DATA_CENTER, **given)


def host_state(*guests: str) -> HostState:
    return HostState(
        host_uuid=uuid_of(1),
        boot_id=uuid_of(2),
        agent_start=uuid_of(3),
        agent_version="1",
        generation=1,
        boottime_ms=1,
        wallclock_ms=1,
        ledger_id=uuid_of(4),
        lease=LeaseFacts(1),
        capabilities=HostCapabilities(1, 1, 1, 1, kvm=True),
        guests=tuple(GuestFacts(uuid, uuid, "running", managed=True) for uuid in guests),
    )


def observed(*guests: str, presence: Presence = Presence.NOT_RUNNING, **fields: Any) -> Observed:
    host = HostObservation("host/h1", uuid_of(1), "answering", state=host_state(*guests))
    vm = VmObservation(VM, "vm/1", fields.pop("record", record()), "read", presence, **fields)
    return Observed("dc/main", hosts={"host/h1": host}, vms={VM: vm})


def plan_of(*steps: Any, **fields: Any) -> Plan:
    return replace(make_plan(*(steps or (make_step("1"),))), basis=BASIS, **fields)


def fresh(**fields: Any) -> Fresh:
    return Fresh(
        **{
            "planner": "test",
            "data_center_uuid": DATA_CENTER,
            "basis": BASIS,
            "observed": observed(),
            **fields,
        }
    )


def reasons(plan: Plan, now: Fresh | None = None, **fields: Any) -> list[tuple[str, str]]:
    return [(one.reason, one.summary) for one in refuse_plan(plan, now or fresh(), **fields)]


def test_a_plan_whose_world_did_not_change_is_admitted() -> None:
    assert reasons(plan_of()) == []


def test_a_plan_of_another_format_is_refused_before_anything_else_is_read() -> None:
    assert reasons(plan_of(format=Format(2, 0), problems=("x",))) == [
        ("format", "the plan has format 2, and this ostler applies 1")
    ]


def test_a_plan_of_another_planner_is_refused() -> None:
    assert reasons(plan_of(planner="0.9")) == [
        ("planner", "the plan was made by planner 0.9, and this is test")
    ]


def test_a_plan_of_another_data_center_is_refused() -> None:
    assert reasons(plan_of(data_center_uuid=uuid_of(9)))[0][0] == "data-center"


def test_an_approval_of_another_digest_is_refused() -> None:
    assert reasons(plan_of(), digest="aaa", expected="bbb") == [
        ("digest", "digest bbb was approved, and the plan's is aaa")
    ]
    assert reasons(plan_of(), digest="aaa", expected="aaa") == []


def test_problems_of_the_planner_stand_in_the_way() -> None:
    assert reasons(plan_of(problems=("a -[x]-> b -[y]-> a",))) == [("problems", "a -[x]-> b -[y]-> a")]


@pytest.mark.parametrize(
    ("now", "summary"),
    [
        (Basis({"vm/1": "m2", "host/h1": "h1"}, BASIS.last_orders), "vm/1 changed in the manifests"),
        (Basis({"vm/1": "-", "host/h1": "h1"}, BASIS.last_orders), "vm/1 is not declared any more"),
        (Basis({"host/h1": "h1"}, BASIS.last_orders), "vm/1 is not referenced any more"),
        (Basis({**BASIS.desired, "net/x": "n"}, BASIS.last_orders), "net/x is referenced newly"),
    ],
)
def test_a_changed_manifest_makes_a_plan_stale(now: Basis, summary: str) -> None:
    assert reasons(plan_of(), fresh(basis=now)) == [("stale", f"{summary} since the plan was made")]


def test_an_order_given_since_makes_a_plan_stale() -> None:
    now = Basis(BASIS.desired, {"vm/1": "a7/vm/1#stop"})

    assert reasons(plan_of(), fresh(basis=now)) == [
        ("stale", "vm/1 got another order since the plan was made (a7/vm/1#stop)")
    ]


def test_a_plan_that_was_applied_is_not_applied_again() -> None:
    """Nothing else is told: all else follows from that."""
    now = Basis({"vm/1": "another"}, {"vm/1": "a1/vm/1#resume"})

    assert reasons(plan_of(), fresh(basis=now, applied=["a1"])) == [
        ("already-applied", "already applied, as a1")
    ]


def test_a_plan_whose_earlier_apply_gave_no_order_may_be_applied() -> None:
    assert reasons(plan_of(), fresh(applied=["a1"])) == []


def test_a_locked_object_stands_in_the_way() -> None:
    assert reasons(plan_of(), fresh(locked={"vm/1": "start-vm is open on host/h2", "vm/2": "x"})) == [
        ("locked", "vm/1: start-vm is open on host/h2")
    ]


@pytest.mark.parametrize("scope", ["dc/main", "vm/1"])
def test_a_pause_stands_in_the_way(scope: str) -> None:
    assert reasons(plan_of(), fresh(paused={scope: "fire drill"})) == [
        ("paused", f"{scope} is paused: fire drill")
    ]


@pytest.mark.parametrize(("consent", "refused"), [(VM, False), (uuid_of(5), True), (None, True)])
def test_a_step_that_destroys_needs_the_consent_that_the_record_holds_now(
    consent: Any, refused: bool
) -> None:
    step = make_step("1", kind="remove-vm", disruption=Disruption.DATA_LOSS)
    now = fresh(observed=observed(record=record(allow_destroy=consent)))

    assert [reason for reason, _ in reasons(plan_of(step), now)] == (["consent"] if refused else [])


@pytest.mark.parametrize("removed", [True, False])
def test_what_a_vm_kept_is_deleted_only_with_its_tombstone(removed: bool) -> None:
    step = make_step("1", kind="purge-vm", disruption=Disruption.DATA_LOSS)
    now = fresh(observed=observed(record=record(removed=removed, allow_destroy=VM)))

    assert [reason for reason, _ in reasons(plan_of(step), now)] == ([] if removed else ["consent"])


def test_a_step_of_another_kind_that_destroys_is_never_admitted() -> None:
    step = make_step("1", disruption=Disruption.DATA_LOSS)

    assert reasons(plan_of(step))[0][0] == "consent"


def test_a_fact_that_a_first_step_expects_must_still_hold() -> None:
    gone = make_step("1", expects=(Expectation(f"guest/{VM}", "present", value=True),))
    paused = make_step("1", expects=(Expectation(f"guest/{VM}", "state", "paused"),))

    assert reasons(plan_of(gone), fresh(observed=observed(VM, presence=Presence.RUNNING))) == []
    assert reasons(plan_of(gone)) == [
        ("stale", f"vm/1#resume expects guest/{VM} present to be True on host/h1; it is False")
    ]
    assert "it is 'running'" in reasons(plan_of(paused), fresh(observed=observed(VM)))[0][1]


def test_a_fact_of_a_host_that_does_not_answer_holds_no_more() -> None:
    step = make_step("1", host="host/h2", expects=(Expectation(f"guest/{VM}", "present", value=True),))

    assert "host/h2 does not answer" in reasons(plan_of(step))[0][1]


def test_what_later_steps_expect_is_left_to_the_agents() -> None:
    later = make_step("1", "2", expects=(Expectation(f"guest/{VM}", "present", value=True),))

    assert reasons(plan_of(make_step("2"), later)) == []


def start(evidence: Evidence | None = Evidence("closed", 1), *after: str) -> Any:  # noqa: B008 - a frozen value
    return make_step("1", *after, kind="start-vm", args={"config": {"uuid": VM}}, evidence=evidence)


def test_a_start_is_admitted_while_the_vm_is_proven_not_to_run() -> None:
    assert reasons(plan_of(start())) == []


@pytest.mark.parametrize("evidence", [None, Evidence("here", 1)])
def test_a_start_without_proof_is_refused(evidence: Evidence | None) -> None:
    assert reasons(plan_of(start(evidence))) == [
        ("evidence", "vm/1#resume carries no proof that the VM runs nowhere else")
    ]


def test_a_start_is_refused_once_the_vm_runs_or_may_run() -> None:
    running = fresh(observed=observed(VM, presence=Presence.RUNNING, host="host/h1"))
    doubtful = fresh(observed=observed(presence=Presence.UNKNOWN, doubts=("host/h9",)))

    assert reasons(plan_of(start()), running) == [("evidence", "vm/1#resume: the VM runs on host/h1")]
    assert reasons(plan_of(start()), doubtful) == [
        ("evidence", "vm/1#resume: the VM may be running on host/h9, which cannot be asked")
    ]


def test_a_vm_that_nobody_knows_is_started_only_if_it_can_be_known_that_it_never_ran() -> None:
    nobody = replace(observed(), vms={})

    assert reasons(plan_of(start()), fresh(observed=nobody))[0][0] == "evidence"
    assert (
        reasons(plan_of(start()), fresh(observed=replace(nobody, newcomer_evidence=Evidence("never-ran"))))
        == []
    )


def test_steps_that_cannot_be_meant_are_refused() -> None:
    twice = plan_of(make_step("1"), make_step("1"))
    strange = plan_of(make_step("1", kind="dance"))
    backwards = plan_of(make_step("1", "2"), make_step("2"))

    assert reasons(twice) == [("malformed", "vm/1#resume stands there twice")]
    assert reasons(strange) == [("malformed", "vm/1#resume is of the unknown kind dance")]
    assert reasons(backwards) == [
        ("malformed", "vm/1#resume waits for vm/2#resume, which does not come before it")
    ]


def test_every_objection_is_told_with_what_to_do() -> None:
    step = make_step("1", disruption=Disruption.DATA_LOSS)
    objections = refuse_plan(plan_of(step), fresh(basis=Basis(), paused={"dc/main": "x"}))

    assert {one.reason for one in objections} == {"stale", "paused", "consent"}
    assert all(str(one).endswith(one.action) and one.action for one in objections)


def test_objects_are_locked_by_journals_ledgers_and_results_not_seen_yet() -> None:
    begun = BegunStep("a1", "vm/3#start", "a1/vm/3#start", "host/h1", "vm/3", "start-vm", DATA_CENTER)
    locked = {
        **locked_by_journal([begun]),
        **locked_by_orders({"vm/4": OpenOrder("host/h2", "b/vm/4#stop", "stop-vm", "vm/4", "running")}),
        **locked_by_results({"vm/5": OutdatedFacts("host/h1", 3, 5)}),
    }
    plan = plan_of(*(make_step(str(number)) for number in (2, 3, 4, 5)))

    objections = refuse_plan(plan, fresh(locked=locked))

    assert sorted(one.summary.split(":")[0] for one in objections if one.reason == "locked") == [
        "vm/3",
        "vm/4",
        "vm/5",
    ]
