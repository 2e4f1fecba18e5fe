"""What the store remembers between processes: journal, applies, attempts, confirmations, pauses, history."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.outcome import StepOutcome, StepState
from reconciler.model.reports import HostOffProof, RunOnHost
from reconciler.store import applies
from reconciler.store.journal import BegunStep, ShownFrom
from reconciler.store.memories import ANYWHERE
from reconciler.store.store import Store, open_store

DC = "11111111-2222-4333-8444-555555555500"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    ticks = iter(range(1_000, 1_000_000))
    store = open_store(path, lambda: next(ticks))
    yield store
    store.close()


def step(number: int, apply_id: str = "a1") -> BegunStep:
    name = f"vm/v{number}#start"
    return BegunStep(apply_id, name, f"{apply_id}/{name}", "host/h1", f"vm/v{number}", "start-vm", DC)


def ended(number: int, state: StepState) -> StepOutcome:
    return StepOutcome(f"vm/v{number}#start", state, "because", outputs={"pci": {"nic": "0000:01:00.0"}})


def test_a_journal_is_read_back_as_it_was_written(store: Store, path: Path) -> None:
    store.journal.begin(step(1), 10)
    store.journal.end(step(1), ended(1, StepState.FAILED), 25, settled=True)

    begin, end = open_store(path).journal.entries("a1")
    assert (begin.event, begin.step, begin.outcome, begin.monotonic_ms) == ("begin", step(1), None, 10)
    assert (end.event, end.step, end.outcome, end.settled) == (
        "end",
        step(1),
        ended(1, StepState.FAILED),
        True,
    )


def test_begun_steps_without_a_settled_end_are_found_again(store: Store, path: Path) -> None:
    for number in range(4):
        store.journal.begin(step(number), 0)
    store.journal.end(step(0), ended(0, StepState.SUCCEEDED), 1, settled=True)
    store.journal.end(step(2), ended(2, StepState.UNKNOWN), 1, settled=False)
    store.journal.end(step(3), ended(3, StepState.UNKNOWN), 1, settled=False)
    store.journal.end(step(3), ended(3, StepState.SUCCEEDED), 2, settled=True)

    assert open_store(path).journal.unsettled(DC) == (step(1), step(2))


def test_a_plan_is_found_by_its_digest_and_its_end_is_kept(store: Store) -> None:
    store.applies.admit("a1", "p1", "d1", DC, "{}")
    assert [one.apply_id for one in store.applies.running()] == ["a1"]

    store.applies.end("a1", "failed", "three failures")

    (found,) = store.applies.admitted("d1")
    assert (found.state, found.detail) == ("failed", "three failures")
    assert found.ended_ms is not None
    assert store.applies.running() == ()
    assert store.applies.body("a1") == "{}"


def test_only_a_running_apply_can_be_asked_to_stop(store: Store, path: Path) -> None:
    store.applies.admit("a1", "p1", "d1", DC, "{}")

    assert open_store(path).applies.request_stop("a1", "cancelled by ops")
    assert store.applies.stop_requested("a1") == "cancelled by ops"
    store.applies.end("a1", "interrupted")
    assert not store.applies.request_stop("a1", "again")


def test_old_applies_are_forgotten_except_those_with_unsettled_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applies, "KEEP_APPLIES", 3)
    for number in range(8):
        name = f"a{number}"
        store.applies.admit(name, "p", "d", DC, "{}")
        store.journal.begin(step(1, name), 0)
        if number != 2:
            store.journal.end(step(1, name), ended(1, StepState.SUCCEEDED), 1, settled=True)
        if number != 1:
            store.applies.end(name, "achieved")

    assert [one.apply_id for one in store.applies.latest()] == ["a7", "a6", "a5", "a2", "a1"]
    assert {entry.step.apply_id for entry in store.journal.entries()} == {"a1", "a2", "a5", "a6", "a7"}


def test_failures_of_an_object_count_up_until_its_manifest_changes(store: Store) -> None:
    counts = [store.attempts.failed(DC, "vm/a", "d1", "no space") for _ in range(3)]

    assert counts == [1, 2, 3]
    assert store.attempts.failed(DC, "vm/a", "d2", "no space") == 1
    assert store.attempts.all(DC)["vm/a"].reason == "no space"


def test_retry_begins_an_object_anew(store: Store) -> None:
    store.attempts.failed(DC, "vm/a", "d1", "no space")

    assert store.attempts.forget(DC, "vm/a")
    assert not store.attempts.forget(DC, "vm/a")
    assert store.attempts.all(DC) == {}


def test_a_confirmation_holds_for_one_incident(store: Store) -> None:
    proof = HostOffProof(
        "host/h1", "confirmed", (RunOnHost("u", 2, "boot-1"),), "power cable pulled, says ops"
    )
    store.confirmations.add(DC, proof)
    store.confirmations.add(DC, HostOffProof("host/h2", "fenced", (), "ipmi"))
    assert store.confirmations.current(DC)[0] == proof
    assert store.confirmations.current("another") == ()

    store.confirmations.end(DC, ["host/h1"])

    assert [one.host for one in store.confirmations.current(DC)] == ["host/h2"]


def test_a_pause_lasts_until_it_is_ended(store: Store) -> None:
    store.pauses.pause(DC, "dc/main", "fire drill")
    store.pauses.pause(DC, "dc/main", "longer fire drill")

    assert store.pauses.reasons(DC) == {"dc/main": "longer fire drill"}
    assert store.pauses.resume(DC, "dc/main")
    assert not store.pauses.resume(DC, "dc/main")


def test_history_is_told_newest_first(store: Store) -> None:
    for number in range(3):
        store.history.add(f"vm/v{number}", "Started", f"start {number}")

    assert [event.message for event in store.history.latest(limit=2)] == ["start 2", "start 1"]
    assert [event.message for event in store.history.latest("vm/v0")] == ["start 0"]


def test_the_last_result_of_an_object_is_known_until_facts_show_it(store: Store, path: Path) -> None:
    for number, generation in ((1, 7), (2, 7), (1, 9)):
        end = replace(ended(number, StepState.SUCCEEDED), generation=generation, ledger="ledger-1")
        store.journal.end(step(number), end, 1, settled=True)
    store.journal.end(step(3), ended(3, StepState.SUCCEEDED), 1, settled=True)

    journal = open_store(path).journal
    assert journal.results_beyond(DC, {"ledger-1": 7}) == (ShownFrom("ledger-1", "vm/v1", 9),)
    assert journal.results_beyond(DC, {"ledger-1": 9}) == ()
    assert journal.results_beyond(DC, {"ledger-2": 1}) == (), (
        "a new ledger counts from one; old numbers say nothing"
    )

    journal.forget_results(DC, {"ledger-1": 8})
    assert journal.results_beyond(DC, {"ledger-1": 0}) == (ShownFrom("ledger-1", "vm/v1", 9),)


OTHER = "11111111-2222-4333-8444-555555555501"


def test_what_is_kept_of_an_object_is_kept_for_its_data_center(store: Store) -> None:
    store.journal.begin(step(1), 0)
    store.attempts.failed(DC, "vm/a", "d1", "no space")
    store.pauses.pause(DC, "vm/a", "a backup runs")
    store.pauses.pause(ANYWHERE, "vm/b", "everywhere")

    assert store.journal.unsettled(OTHER) == ()
    assert store.attempts.all(OTHER) == {}
    assert not store.attempts.forget(OTHER, "vm/a")
    assert not store.pauses.resume(OTHER, "vm/a")
    assert store.pauses.reasons(OTHER) == {"vm/b": "everywhere"}
    assert store.pauses.reasons(DC) == {"vm/a": "a backup runs", "vm/b": "everywhere"}
    assert store.attempts.failed(OTHER, "vm/a", "d1", "no space") == 1


def test_the_last_results_of_another_data_center_are_not_forgotten(store: Store) -> None:
    end = replace(ended(1, StepState.SUCCEEDED), ledger="ledger-1", generation=7)
    store.journal.end(step(1), end, 0, settled=True)

    store.journal.forget_results(OTHER, {"ledger-1": 9})

    assert store.journal.results_beyond(OTHER, {"ledger-1": 1}) == ()
    assert len(store.journal.results_beyond(DC, {"ledger-1": 1})) == 1


def test_an_apply_is_abandoned_if_its_process_or_its_turn_is_over(store: Store, path: Path) -> None:
    store.applies.admit("a1", "p", "d", DC, "{}")
    store.applies.admit("a2", "p", "d", OTHER, "{}")
    later = open_store(path)

    assert [one.apply_id for one in store.applies.abandoned(DC)] == ["a1"]
    assert [one.apply_id for one in store.applies.abandoned("a third")] == []
    assert [one.apply_id for one in later.applies.abandoned("a third")] == ["a1", "a2"]
    later.close()


def test_data_centers_are_known_by_the_names_that_they_had_last(store: Store) -> None:
    store.centers.note(DC, "dc/main")
    store.centers.note(DC, "dc/hamburg")
    store.centers.note(OTHER, "dc/main")

    assert store.centers.all() == {DC: "dc/hamburg", OTHER: "dc/main"}
