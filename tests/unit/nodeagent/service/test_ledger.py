import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from enginebench import BOOT, make_order

from nodeagent.ledger import KEEP_MS, LONGEST_DEADLINE_MS, RESERVE_BYTES, Ledger, LedgerError
from nodeagent.wire.orders import OrderResult

OTHER_BOOT = "b0b0b0b0-0000-4000-8000-000000000002"


class Clocks:
    def __init__(self):
        self.boot = 1_000_000
        self.wall = 1_700_000_000_000

    def pass_ms(self, ms):
        self.boot += ms
        self.wall += ms


def open_ledger(path, clocks=None, boot=BOOT):
    clocks = clocks or Clocks()
    return Ledger(path, boot, lambda: clocks.boot, lambda: clocks.wall)


def finished(ledger, key, object="vm/web-1"):
    ledger.accept(make_order(ledger.id, 0, key=key, object=object))
    ledger.finish(OrderResult(key, "succeeded", "done", generation=7, outputs={"pci": "0000:01:00.0"}))


def test_its_id_orders_and_facts_survive_a_restart(tmp_path):
    ledger = open_ledger(tmp_path)
    finished(ledger, "a/1")
    ledger.accept(make_order(ledger.id, 0, key="a/2"))
    ledger.note("a/2", "job", {"begun": True})
    ledger.keep_facts({"epoch": "7"})
    former = ledger.id
    ledger.close()

    ledger = open_ledger(tmp_path)

    assert ledger.id == former
    assert ledger.find("a/1").result.outputs == {"pci": "0000:01:00.0"}
    assert [entry.key for entry in ledger.open_entries()] == ["a/2"]
    assert ledger.notes("a/2") == {"job": {"begun": True}}
    assert ledger.fact("epoch") == "7"


def test_it_holds_no_secret(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.accept(
        make_order(ledger.id, 0, secrets={"vnc/password": "hunter2"}, secret_digests={"vnc/password": "ab"})
    )
    ledger.close()

    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.iterdir())


def test_facts_show_open_orders_and_the_last_of_each_object(tmp_path):
    ledger = open_ledger(tmp_path)
    finished(ledger, "a/1", "vm/web-1")
    finished(ledger, "a/2", "vm/web-1")
    ledger.accept(make_order(ledger.id, 0, key="a/3", object="vm/web-2"))
    ledger.revoke("never/seen", "revoked")

    assert [(facts.key, facts.object, facts.state) for facts in ledger.order_facts()] == [
        ("a/2", "vm/web-1", "succeeded"),
        ("a/3", "vm/web-2", "running"),
    ]


def test_results_of_this_boot_are_forgotten_after_seven_days_but_never_the_last_of_an_object(tmp_path):
    clocks = Clocks()
    ledger = open_ledger(tmp_path, clocks)
    finished(ledger, "a/1")
    finished(ledger, "a/2")
    ledger.accept(make_order(ledger.id, 0, key="a/open", object="vm/web-2"))
    clocks.pass_ms(KEEP_MS - 1)
    assert ledger.prune() == 0
    clocks.pass_ms(2)

    assert ledger.prune() == 1
    assert ledger.find("a/1") is None
    assert ledger.find("a/2") is not None
    assert ledger.find("a/open") is not None


def test_a_wall_clock_that_leaps_ahead_forgets_no_key_of_this_boot(tmp_path):
    clocks = Clocks()
    ledger = open_ledger(tmp_path, clocks)
    finished(ledger, "a/1")
    finished(ledger, "a/2")
    clocks.wall += 10 * KEEP_MS

    assert ledger.prune() == 0

    clocks.boot += LONGEST_DEADLINE_MS + 1
    assert ledger.prune() == 1


def test_a_wall_clock_that_leaps_ahead_may_forget_keys_of_an_earlier_boot(tmp_path):
    clocks = Clocks()
    ledger = open_ledger(tmp_path, clocks)
    finished(ledger, "a/1")
    finished(ledger, "a/2")
    ledger.close()
    clocks.wall += 10 * KEEP_MS

    assert open_ledger(tmp_path, clocks, boot=OTHER_BOOT).prune() == 1


def test_revocations_of_keys_never_seen_survive_a_restart(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.revoke("late/1", "revoked")
    ledger.close()

    entry = open_ledger(tmp_path).find("late/1")

    assert entry.order is None
    assert entry.result.state == "revoked"


def test_a_second_agent_cannot_open_the_same_ledger(tmp_path):
    ledger = open_ledger(tmp_path)

    other = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from nodeagent.ledger import Ledger; Ledger(__import__('pathlib').Path({str(tmp_path)!r}), 'b')",
        ],
        check=False,
        capture_output=True,
        text=True,
    )

    assert other.returncode != 0
    assert "locked" in other.stderr
    assert not (tmp_path / "ledger.db.damaged").exists()
    assert ledger.fact("ledger_id") == ledger.id


def test_a_damaged_ledger_is_moved_aside_and_a_new_one_begun(tmp_path):
    ledger = open_ledger(tmp_path)
    former = ledger.id
    ledger.close()
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 1000)

    ledger = open_ledger(tmp_path)

    assert ledger.id != former
    assert (tmp_path / "ledger.db.damaged").exists()


def test_a_ledger_file_that_is_removed_while_in_use_takes_no_more_orders(tmp_path):
    ledger = open_ledger(tmp_path)
    (tmp_path / "ledger.db").unlink()

    with pytest.raises(LedgerError):
        ledger.accept(make_order(ledger.id, 0))


def test_an_order_whose_acceptance_fails_leaves_no_trace(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.accept(make_order(ledger.id, 0))

    with pytest.raises(LedgerError):
        ledger.accept(make_order(ledger.id, 0))

    assert len(ledger.open_entries()) == 1


def test_every_commit_is_synchronised(tmp_path):
    ledger = open_ledger(tmp_path)

    assert ledger._database.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert ledger._database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert (tmp_path / "ledger.reserve").stat().st_blocks * 512 >= RESERVE_BYTES


FULL_DISK = """
import os, sys
from pathlib import Path
from enginebench import Bench, make_order
from nodeagent.errors import RefusedError
from nodeagent.ledger import Ledger, LedgerError

state = Path(sys.argv[1])
bench = Bench(state)
bench.world.effects = Path(sys.argv[2]) / "effects"
bench.world.began = Path(sys.argv[2]) / "began"
bench.world.go.clear()
taken = bench.engine.submit(bench.order(key="apply/taken"))
assert taken.state in ("accepted", "running"), taken

filler = os.open(state / "filler", os.O_WRONLY | os.O_CREAT)
block = 65536
while block:
    try:
        os.write(filler, bytes(block))
    except OSError:
        block //= 2

refused = set()
for number in range(400):
    try:
        bench.ledger.accept(make_order(bench.ledger.id, 0, key=f"fill/{number}", object=f"vm/v{number}"))
    except LedgerError as error:
        refused.add("ledger")
        break
try:
    bench.engine.submit(bench.order(key="apply/late", object="vm/late"))
except RefusedError as error:
    refused.add(error.refusal.reason)
print("refused", sorted(refused))

bench.world.go.set()
result = bench.wait("apply/taken")
print("taken", result.state, (state / "ledger.reserve").exists())
bench.ledger.close()
import sqlite3
database = sqlite3.connect(state / "ledger.db")
print("kept", database.execute("SELECT state FROM orders WHERE key = 'apply/taken'").fetchone()[0])
print("late", database.execute("SELECT count(*) FROM orders WHERE key = 'apply/late'").fetchone()[0])
"""


def test_a_full_disk_refuses_new_orders_and_still_records_the_result_of_those_taken(tmp_path):
    state, outside = tmp_path / "state", tmp_path / "outside"
    state.mkdir()
    outside.mkdir()
    script = tmp_path / "full.py"
    script.write_text(FULL_DISK)

    run = subprocess.run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            'mount -t tmpfs -o size=3m tmpfs "$1" && exec "$2" "$3" "$1" "$4"',
            "sh",
            str(state),
            sys.executable,
            str(script),
            str(outside),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[4]}",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        },
    )

    assert run.returncode == 0, run.stderr
    assert "refused ['ledger', 'not-durable']" in run.stdout, run.stdout + run.stderr
    assert "taken succeeded False" in run.stdout
    assert "kept succeeded" in run.stdout
    assert "late 0" in run.stdout


def test_the_file_is_plain_sqlite(tmp_path):
    ledger = open_ledger(tmp_path)
    finished(ledger, "a/1")
    ledger.close()

    with sqlite3.connect(tmp_path / "ledger.db") as database:
        assert database.execute("SELECT state FROM orders").fetchall() == [("succeeded",)]
