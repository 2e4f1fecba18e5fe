"""`ostler history ID`: all that happened to an object, also what an apply that was killed could not tell, and where."""

import json
import sqlite3

import pytest

from nodeagent.wire.facts import DeedFacts
from reconciler.model.outcome import StepOutcome, StepState
from reconciler.store.journal import BegunStep
from reconciler.store.store import Store, open_store
from reconciler.store.tables import OLDEST
from tests.unit.cli.conftest import Desk

ANNEX = "99999999-470a-4f03-8386-000000000000"
FARM = "58cfb470-02f3-03d7-0386-0000000003bc"


def begin(store: Store, center: str, apply_id: str) -> BegunStep:
    """An apply has sent off the migration of vm/web-1."""
    step = BegunStep(
        apply_id,
        "vm/web-1#migrate",
        f"{apply_id}/vm/web-1#migrate",
        "host/h1",
        "vm/web-1",
        "migrate-vm",
        center,
    )
    store.applies.admit(apply_id, "p", "d", center, "{}")
    store.journal.begin(step, 0)
    return step


def events(desk: Desk, *options: str) -> list[dict[str, str]]:
    return json.loads(desk("history", "vm/web-1", "-o", "json", *options).out)


@pytest.fixture
def two(applied: Desk) -> Desk:
    """The store serves a second data center with a VM of the same id."""
    store = applied.store()
    store.centers.note(ANNEX, "dc/annex")
    step = begin(store, ANNEX, "b2")
    store.journal.end(step, StepOutcome(step.step_id, StepState.FAILED, "no room"), 1, settled=True)
    store.close()
    return applied


def test_a_migration_that_was_settled_after_a_crash_is_told(applied: Desk) -> None:
    store = applied.store()
    step = begin(store, FARM, "a1")
    assert [one["what"] for one in events(applied)][-1] == "MigrateVmBegun"
    store.journal.end(step, StepOutcome(step.step_id, StepState.UNKNOWN, "no answer"), 1, settled=False)
    store.journal.end(step, StepOutcome(step.step_id, StepState.SUCCEEDED, "it arrived"), 0, settled=True)
    store.close()

    last = events(applied)[-1]

    assert last["what"] == "MigrateVm"
    assert last["detail"] == "vm/web-1#migrate on host/h1 (apply a1): it arrived"


def test_what_an_apply_remembered_is_told_once(applied: Desk) -> None:
    kinds = [one["what"] for one in events(applied)]

    assert kinds.count("StartVm") == 1
    assert len(kinds) == len(set(kinds))


def test_objects_of_two_data_centers_are_told_apart(two: Desk) -> None:
    assert {one["dataCenter"] for one in events(two)} == {"dc/farm", "dc/annex"}
    assert [one["what"] for one in events(two, "--data-center", "annex")] == ["MigrateVmFailed"]
    assert {one["dataCenter"] for one in events(two, "--data-center", "farm")} == {"dc/farm"}
    assert "DATA CENTER" in two("history", "vm/web-1").out
    assert two("history", "--data-center", "nowhere").status == 64


def test_applies_are_listed_with_their_data_center(two: Desk) -> None:
    both = json.loads(two("history", "-o", "json").out)
    theirs = json.loads(two("history", "-o", "json", "--data-center", "annex").out)

    assert {one["dataCenter"] for one in both} == {"dc/farm", "dc/annex"}
    assert [one["apply"] for one in theirs] == ["b2"]


def test_pauses_belong_to_a_data_center_too(two: Desk) -> None:
    two("pause", "vm/web-1", "--data-center", "annex", "--reason", "theirs")

    assert "Paused" in [one["what"] for one in events(two, "--data-center", "annex")]
    assert "Paused" not in [one["what"] for one in events(two, "--data-center", "farm")]


def test_with_one_data_center_the_column_is_left_out(applied: Desk) -> None:
    assert "DATA CENTER" not in applied("history", "vm/web-1").out
    assert "DATA CENTER" in applied("history", "vm/web-1", "-o", "wide").out


def test_the_history_of_an_older_store_is_kept(applied: Desk) -> None:
    path = applied.home / "store.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE history DROP COLUMN data_center")
        connection.execute("DROP INDEX journal_by_object")
        connection.execute(f"UPDATE ostler_settings SET value = '{OLDEST}' WHERE name = 'version'")
    open_store(path).close()

    kinds = [one["what"] for one in events(applied)]

    assert kinds.count("StartVm") == 1
    assert applied("pause", "vm/web-1").status == 0


def test_a_guest_that_an_agent_destroyed_by_itself_is_told_once(applied: Desk) -> None:
    host = next(one for one in applied.world.hosts.values() if one.guests)
    vm = next(iter(host.guests))
    host.deeds[vm] = DeedFacts(vm, 1, "a second life", 90_061_000)

    assert "(run 1) by itself: a second life" in applied("plan", "-f").out
    for _apply in range(2):
        applied("apply", "-f", "--yes")

    told = [one["detail"] for one in events(applied) if one["what"] == "DestroyedByAgent"]
    assert len(told) == 1
    assert told[0].endswith("a second life (at 1970-01-02 01:01:01 UTC by its clock)")
