"""What the engine had begun when it died: looked at afterwards, never repeated."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from enginebench import Bench, encode, make_order, until

from nodeagent import carrying
from nodeagent.operations.contract import OperationError

HERE = Path(__file__).parent
UNKNOWN = "99999999-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("recovered", "state"),
    [
        (True, "succeeded"),
        (False, "failed"),
        (None, "unknown"),
        (OperationError("libvirt is silent"), "unknown"),
        (ZeroDivisionError(), "unknown"),
    ],
)
def test_what_was_begun_before_a_crash_is_looked_at_and_never_repeated(
    tmp_path, recovered, state, monkeypatch
):
    monkeypatch.setattr(carrying, "PATIENCE_S", 0.6)
    bench = Bench(tmp_path)
    bench.ledger.accept(bench.order())
    bench.world.recovered = recovered
    bench.restart()

    assert bench.wait().state == state
    assert bench.engine.submit(bench.order()).state == state
    assert bench.world.count() == 0
    bench.close()


def test_an_order_that_this_version_cannot_read_becomes_unknown(tmp_path):
    bench = Bench(tmp_path)
    bench.ledger.accept(replace(bench.order(), kind="old-kind"))
    bench.restart()

    assert bench.wait().state == "unknown"
    bench.close()


@pytest.mark.parametrize("moment", ["accepted", "half", "ended"])
def test_an_agent_killed_at_any_moment_has_the_effect_at_most_once(tmp_path, moment):
    child = subprocess.Popen(
        [sys.executable, str(HERE / "enginebench.py"), str(tmp_path), "0.5" if moment != "ended" else "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(HERE.parents[3]), "PATH": "/usr/bin:/bin"},
    )
    order = make_order(UNKNOWN, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)
    child.stdin.write(encode(order) + b"\n")
    child.stdin.flush()
    effects = tmp_path / "effects"
    if moment == "accepted":
        until((tmp_path / "began").exists)
    elif moment == "half":
        until(lambda: effects.exists() and "half" in effects.read_text())
    else:
        assert child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = effects.read_text() if effects.exists() else ""

    bench = Bench(tmp_path)
    bench.world.recovered = None
    result = bench.wait()

    assert result.state == ("succeeded" if moment == "ended" else "unknown")
    again = bench.engine.submit(replace(order, ledger_id=bench.ledger.id))
    assert again.state == result.state
    assert (effects.read_text() if effects.exists() else "") == before
    assert before.count("PauseVm") <= 1
    bench.close()
