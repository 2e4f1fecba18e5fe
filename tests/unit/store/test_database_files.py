"""The store as a file: private, versioned, and clear about what is wrong with it."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from reconciler.model.outcome import StepOutcome, StepState
from reconciler.store.database import StoreError, StoreHeldError
from reconciler.store.journal import BegunStep, JournalError
from reconciler.store.store import open_memory_store, open_store
from reconciler.store.tables import METADATA, OLDEST

STEP = BegunStep("a1", "vm/web-1#start", "a1/vm/web-1#start", "host/h1", "vm/web-1", "start-vm", "dc")


def test_a_new_store_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = open_store(tmp_path / "store.db")
        store.journal.begin(STEP, 0)
    finally:
        os.umask(before)

    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
    }


def test_a_store_keeps_its_identity_over_processes_and_two_stores_differ(tmp_path: Path) -> None:
    first = open_store(tmp_path / "one.db")
    first.close()

    assert open_store(tmp_path / "one.db").id == first.id
    assert open_store(tmp_path / "two.db").id != first.id


def make_older(path: Path) -> None:
    """A store of the oldest version that is read."""
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE history DROP COLUMN data_center")
        connection.execute("DROP INDEX journal_by_object")
        connection.execute(f"UPDATE ostler_settings SET value = '{OLDEST}' WHERE name = 'version'")


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "made where there is none"])
def test_an_older_store_has_an_identity_when_it_becomes_one_of_this_version(
    tmp_path: Path, *, lost: bool
) -> None:
    path = tmp_path / "store.db"
    first = open_store(path)
    first.close()
    make_older(path)
    if lost:
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM ostler_settings WHERE name = 'id'")

    second = open_store(path)
    second.close()

    assert (second.id == first.id) is not lost
    assert len(second.id) == len(first.id)
    assert open_store(path).id == second.id


def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")

    with store._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE ostler_settings SET value = '99' WHERE name = 'version'")

    with pytest.raises(StoreError, match=r"version 99 .* use the newer ostler"):
        open_store(path)


def test_a_store_of_a_version_that_is_not_read_any_more_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE ostler_settings SET value = '{OLDEST - 1}' WHERE name = 'version'")

    with pytest.raises(StoreError, match=r"move it away: what runs is not harmed"):
        open_store(path)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")

    with pytest.raises(StoreError, match="holds something else"):
        open_store(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_a_file_that_is_no_database_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all, " * 200)

    with pytest.raises(StoreError, match="name another with --store"):
        open_store(path)
    assert path.read_text().startswith("Dear all")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check that its directory exists"):
        open_store(tmp_path / "nowhere" / "store.db")


@pytest.mark.parametrize(
    "url", ["mysql://user:geheim@h/db", "sqlite:///x.db", "nonsense://user:geheim@h", "://"]
)
def test_a_url_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url)

    assert "geheim" not in str(caught.value)


def test_every_table_is_good_sql_for_postgresql() -> None:
    statements = [
        str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in METADATA.sorted_tables
    ]

    assert any("sequence BIGSERIAL" in statement for statement in statements)


def test_a_full_disk_makes_a_journal_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path)
    with store._database.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    with store._database.reading() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(JournalError, match=r"no order is sent: .*full; free space"):
        for number in range(1000):
            store.journal.begin(
                BegunStep("a1", "s" * 200, f"{number}", "host/h1", "vm/a", "start-vm", "dc"), 0
            )


def test_a_file_that_cannot_grow_makes_a_journal_error(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from reconciler.store.store import open_store
from reconciler.store.journal import BegunStep, JournalError
store = open_store(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for number in range(5000):
        store.journal.begin(BegunStep("a1", "s" * 200, str(number), "host/h1", "vm/a", "start-vm", "dc"), 0)
except JournalError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "the journal cannot be written" in done.stdout


def test_a_store_that_was_replaced_while_in_use_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path)
    path.unlink()
    open_store(path)

    with pytest.raises(JournalError, match="was replaced"):
        store.journal.begin(STEP, 0)


def test_a_deleted_store_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path)
    path.unlink()

    with pytest.raises(JournalError, match="no order is sent"):
        store.journal.begin(STEP, 0)


def test_only_one_process_applies_with_a_store(tmp_path: Path) -> None:
    first, second = open_store(tmp_path / "store.db"), open_store(tmp_path / "store.db")

    with (
        first.exclusive(),
        pytest.raises(StoreHeldError, match=r"`ostler apply` \(process"),
        second.exclusive(),
    ):
        raise AssertionError("both may apply")
    with second.exclusive():
        pass


def test_the_right_to_apply_ends_with_a_killed_process(tmp_path: Path) -> None:
    script = """
import sys, time
from reconciler.store.store import open_store
with open_store(sys.argv[1]).exclusive():
    print("held", flush=True)
    sys.stdin.read()
"""
    path = tmp_path / "store.db"
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(StoreHeldError), open_store(path).exclusive():
        pass
    child.send_signal(signal.SIGKILL)
    child.wait(10)

    with open_store(path).exclusive():
        pass


def test_an_error_of_the_work_itself_is_not_taken_for_one_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_store(tmp_path / "store.db").exclusive():
        raise FileNotFoundError("something of the caller's")


def test_stores_opened_at_once_make_one(tmp_path: Path) -> None:
    script = "import sys; from reconciler.store.store import open_store; print(open_store(sys.argv[1]).id)"
    command = [sys.executable, "-c", script, str(tmp_path / "store.db")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [child.communicate(timeout=60)[0] for child in children]

    assert [child.returncode for child in children] == [0, 0, 0, 0]
    assert len(set(outputs)) == 1


def test_a_memory_store_works_like_a_file() -> None:
    store = open_memory_store()
    store.journal.begin(STEP, 0)
    store.journal.end(STEP, StepOutcome(STEP.step_id, StepState.SUCCEEDED), 5, settled=True)

    assert store.journal.unsettled("dc") == ()
