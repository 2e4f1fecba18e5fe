import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler.lab.processes import end_process, identify_process, is_alive, wait_until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "100"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_known_by_its_start_too(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identify_process(sleeper.pid)
    assert identity
    assert is_alive(identity)
    assert not is_alive(replace(identity, start_ticks=identity.start_ticks + 1))


def test_ending_a_process_waits_for_its_end(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identify_process(sleeper.pid)
    assert identity
    assert end_process(identity)
    assert sleeper.wait(5) == -signal.SIGKILL


def test_another_process_with_the_pid_is_not_ended(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identify_process(sleeper.pid)
    assert identity
    assert end_process(replace(identity, start_ticks=1))
    assert is_alive(identity)


def test_a_zombie_is_no_process(sleeper: subprocess.Popen[bytes]) -> None:
    os.kill(sleeper.pid, signal.SIGKILL)
    assert wait_until(lambda: identify_process(sleeper.pid) is None, 5)
    sleeper.wait()
    assert identify_process(sleeper.pid) is None


THREADED = """
import os, threading, time
def go_on():
    print("ready", flush=True)
    time.sleep(100)
threading.Thread(target=go_on).start()
import ctypes
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_whose_first_thread_is_gone_is_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", THREADED], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        assert wait_until(lambda: f"{process.pid} (" in _stat(process.pid) and ") Z" in _stat(process.pid), 5)
        assert identify_process(process.pid) is not None
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def _stat(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read()


def test_a_condition_that_never_comes_true_is_given_up() -> None:
    assert not wait_until(lambda: False, 0.05)
    assert wait_until(lambda: True, 0)
