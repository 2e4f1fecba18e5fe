"""Processes that are known for certain: by pid and the moment they started, so that a reused pid is another.

`power` uses it for the first process of a host, `services` for the daemons inside.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process of this boot: pid, and its start in clock ticks since boot (field 22 of /proc/PID/stat)."""

    pid: int
    start_ticks: int


def identify_process(pid: int, proc: Path = PROC) -> ProcessIdentity | None:
    """The process that has this pid now; None if there is none, or only its exit status is left (a zombie).

    A process whose first thread is a zombie while others still end holds its files and ports: it counts as alive.
    """
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ended = fields[0] in "ZX" and len(tuple((proc / str(pid) / "task").iterdir())) <= 1
    except OSError:
        return None
    return None if ended else ProcessIdentity(pid, int(fields[19]))


def is_alive(identity: ProcessIdentity, proc: Path = PROC) -> bool:
    """Whether that very process runs, not another with its pid."""
    return identify_process(identity.pid, proc) == identity


def end_process(identity: ProcessIdentity, timeout_s: float = 30) -> bool:
    """Sends SIGKILL to that very process and waits for its end; False if it outlives the limit.

    The kernel ends PID 1 of a namespace only when all processes in there are gone.
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(
            identity
        ):  # looked at after the descriptor was made: it cannot become another process
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition came true within the limit; looks every 10 ms."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True
