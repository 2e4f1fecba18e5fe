"""Runs a program of the host: an argument list becomes its output, within limits of time, memory and length.

The only home of subprocess in the agent; the drivers beside it call `run_command`. No shell, a fixed environment,
nothing secret in arguments (input goes by `stdin`). The program dies with the agent and with its time limit, its
whole process group with it.
"""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from nodeagent.errors import DriverError

OUTPUT_LIMIT_BYTES = 1024 * 1024
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/"}
_POLL_S = 0.1
_KILL_GRACE_S = 2.0
_ABANDONED: list[subprocess.Popen[bytes]] = []
_ABANDONED_LOCK = threading.Lock()


class CommandError(DriverError):
    """A program could not be run, or did not do what it was asked."""


class CommandFailedError(CommandError):
    """A program ended with a status that means failure."""


class CommandTimeoutError(CommandError):
    """A program did not end in time, or its order was cancelled, and was killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. time_ms: of the wall clock; memory_bytes: address space; output_bytes: stdout."""

    time_ms: int
    memory_bytes: int | None = None
    output_bytes: int = OUTPUT_LIMIT_BYTES


def never() -> bool:
    """The `cancelled` of work that nobody cancels."""
    return False


def run_command(
    arguments: Sequence[str],
    limits: Limits,
    *,
    stdin: bytes = b"",
    cancelled: Callable[[], bool] = never,
    successes: frozenset[int] = frozenset({0}),
) -> bytes:
    """What a program writes to its standard output. `arguments[0]` is its name on the system's path.

    successes: the statuses with which its output counts. Raises CommandFailedError (with its first words on standard error), CommandTimeoutError, CommandError.
    """
    _reap_abandoned()
    process = _start(arguments, limits)
    conversation = _Conversation(process, arguments[0], limits, cancelled)
    try:
        conversation.hold(stdin)
    finally:
        _end(process)
    if process.returncode not in successes:
        raise conversation.failure()
    return bytes(conversation.output)


def _start(arguments: Sequence[str], limits: Limits) -> subprocess.Popen[bytes]:
    guard = ["setpriv", "--pdeathsig", "KILL", "--"]
    if limits.memory_bytes is not None:
        guard += ["prlimit", f"--as={limits.memory_bytes}", "--core=0", "--"]
    try:
        return subprocess.Popen(  # noqa: S603 - an argument list, no shell, each argument from checked values
            [*guard, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(
            f"{arguments[0]} cannot be started: {error.strerror}", "install util-linux and the program"
        ) from error


class _Conversation:
    """Feeds a program its input and gathers its output until it ends or breaks a limit."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        name: str,
        limits: Limits,
        cancelled: Callable[[], bool],
    ) -> None:
        self._process = process
        self._name = name
        self._limits = limits
        self._cancelled = cancelled
        self._deadline = time.monotonic() + limits.time_ms / 1000
        self.output = bytearray()
        self._errors = bytearray()

    def hold(self, stdin: bytes) -> None:
        """Returns when the program has ended; its status is not taken yet. Raises CommandError."""
        ending = os.pidfd_open(self._process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(ending, selectors.EVENT_READ)
                self._listen(selector, stdin)
                self._talk(selector, ending)
        finally:
            os.close(ending)

    def _talk(self, selector: selectors.BaseSelector, ending: int) -> None:
        ended = False
        while True:
            ready = selector.select(0 if ended else _POLL_S)
            for key, _ in ready:
                if key.fd == ending:
                    selector.unregister(ending)
                    ended = True
                else:
                    key.data(selector, key.fd)
            # A service that the program left behind may hold the pipes open; its words are not awaited.
            if ended and not ready:
                return
            self._check_time()

    def _listen(self, selector: selectors.BaseSelector, stdin: bytes) -> None:
        process, rest = self._process, memoryview(stdin)
        assert process.stdin and process.stdout and process.stderr

        def feed(selector: selectors.BaseSelector, pipe: int) -> None:
            nonlocal rest
            try:
                rest = rest[os.write(pipe, rest) :] if rest else rest
            except BrokenPipeError:
                rest = rest[:0]
            if not rest:
                selector.unregister(pipe)
                assert process.stdin
                process.stdin.close()

        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin.fileno(), selectors.EVENT_WRITE, feed)
        selector.register(process.stdout.fileno(), selectors.EVENT_READ, self._take_output)
        selector.register(process.stderr.fileno(), selectors.EVENT_READ, self._take_errors)

    def _take_output(self, selector: selectors.BaseSelector, pipe: int) -> None:
        part = os.read(pipe, 1 << 16)
        if not part:
            selector.unregister(pipe)
        self.output += part
        if len(self.output) > self._limits.output_bytes:
            raise CommandError(f"{self._name} wrote more than {self._limits.output_bytes} bytes")

    def _take_errors(self, selector: selectors.BaseSelector, pipe: int) -> None:
        part = os.read(pipe, 1 << 16)
        if not part:
            selector.unregister(pipe)
        self._errors += part[: max(0, 4096 - len(self._errors))]

    def _check_time(self) -> None:
        if self._cancelled():
            raise CommandTimeoutError(f"{self._name} was stopped because its order was cancelled")
        if time.monotonic() > self._deadline:
            raise CommandTimeoutError(
                f"{self._name} did not end within {self._limits.time_ms} ms and was killed",
                "see whether the storage or service that it uses still answers",
            )

    def failure(self) -> CommandError:
        """What the program's status and its words on standard error say."""
        words = " ".join(self._errors.decode(errors="replace").split())[:1000]
        status = self._process.returncode
        if status in {126, 127} and words.startswith(("setpriv:", "prlimit:")):
            return CommandError(
                f"{self._name} cannot be started: {words}", f"install {self._name} on the host"
            )
        reason = words or (f"signal {-status}" if status < 0 else f"status {status}")
        return CommandFailedError(f"{self._name} failed: {reason}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a program's group, and take its status; one that cannot die is left for later.

    The status is taken last: until then the number of the group cannot be another's.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        process.wait(_KILL_GRACE_S)
    except subprocess.TimeoutExpired:
        # It waits in the kernel for storage that does not answer; it may not hold up its caller as well.
        with _ABANDONED_LOCK:
            _ABANDONED.append(process)


def _reap_abandoned() -> None:
    with _ABANDONED_LOCK:
        _ABANDONED[:] = [process for process in _ABANDONED if process.poll() is None]
