"""Programs of the host run within limits, and leave nothing behind."""

import os
import threading
import time
from pathlib import Path

import pytest

from nodeagent.drivers.command import (
    CommandError,
    CommandFailedError,
    CommandTimeoutError,
    Limits,
    run_command,
)

QUICK = Limits(time_ms=10_000)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} still lives")


def test_output_and_input_pass_through() -> None:
    content = os.urandom(300_000)

    assert run_command(["cat"], QUICK, stdin=content) == content


def test_arguments_reach_the_program_as_they_are() -> None:
    assert run_command(["printf", "%s|", "a b", "$(id)", "; rm -rf /", "--", "*"], QUICK) == (
        b"a b|$(id)|; rm -rf /|--|*|"
    )


def test_a_failure_carries_the_words_of_the_program() -> None:
    with pytest.raises(CommandFailedError, match="/nowhere/at/all"):
        run_command(["ls", "/nowhere/at/all"], QUICK)


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(CommandError, match="no-such-program"):
        run_command(["no-such-program"], QUICK)


def test_a_program_that_takes_too_long_is_killed() -> None:
    began = time.monotonic()
    with pytest.raises(CommandTimeoutError, match="300 ms"):
        run_command(["sleep", "1000"], Limits(300))
    assert time.monotonic() - began < 5


def test_the_children_of_a_killed_program_die_with_it(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    with pytest.raises(CommandTimeoutError):
        run_command(["sh", "-c", f"sleep 1000 & echo $! > {noted}; wait"], Limits(500))

    wait_until_gone(int(noted.read_text()))


def test_a_child_left_running_does_not_hold_up_the_answer(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    began = time.monotonic()

    assert run_command(["sh", "-c", f"sleep 1000 & echo $! > {noted}; echo done"], QUICK) == b"done\n"
    assert time.monotonic() - began < 5
    wait_until_gone(int(noted.read_text()))


def test_endless_output_is_cut_off() -> None:
    with pytest.raises(CommandError, match="more than 1000 bytes"):
        run_command(["yes"], Limits(10_000, output_bytes=1000))


def test_endless_errors_are_not_gathered() -> None:
    with pytest.raises(CommandFailedError) as caught:
        run_command(["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x >&2; exit 3"], QUICK)

    assert len(caught.value.summary) < 2000


def test_memory_is_bounded() -> None:
    with pytest.raises(CommandFailedError):
        run_command(["python3", "-c", "b'x' * (1 << 30)"], Limits(10_000, memory_bytes=256 << 20))


def test_a_cancelled_order_stops_its_program() -> None:
    cancelled = threading.Event()
    timer = threading.Timer(0.2, cancelled.set)
    timer.start()
    with pytest.raises(CommandTimeoutError, match="cancelled"):
        run_command(["sleep", "1000"], Limits(60_000), cancelled=cancelled.is_set)
    timer.join()


def test_the_environment_of_the_agent_stays_with_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")

    assert b"hunter2" not in run_command(["env"], QUICK)


def test_a_program_dies_with_the_agent(tmp_path: Path) -> None:
    """The caller is killed outright, and so cannot clear up behind it."""
    noted = tmp_path / "pid"
    child = os.fork()
    if child == 0:
        try:
            run_command(["sh", "-c", f"echo $$ > {noted}; exec sleep 1000"], Limits(600_000))
        finally:
            os._exit(1)
    deadline = time.monotonic() + 10
    while not (noted.exists() and noted.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)

    wait_until_gone(int(noted.read_text()))
