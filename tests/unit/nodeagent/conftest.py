"""Processes of the agent that die, or fail, at any system call."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

CALLS = ("open", "write", "fsync", "link", "rename", "unlink", "mkdir", "fchmod", "fchown", "scandir", "stat")


@dataclass(frozen=True)
class Interrupter:
    """Runs a function that dies, or fails, at the n-th system call that touches files."""

    @contextmanager
    def _counting(self, step: int, act: Callable[[], None]) -> Iterator[list[str]]:
        seen: list[str] = []
        originals = {name: getattr(os, name) for name in CALLS}

        def counted(name: str) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                seen.append(name)
                if len(seen) == step:
                    act()
                return originals[name](*args, **kwargs)

            return call

        for name in CALLS:
            setattr(os, name, counted(name))
        try:
            yield seen
        finally:
            for name, original in originals.items():
                setattr(os, name, original)

    def kill_at(self, step: int, function: Callable[[], object]) -> bool:
        """Whether a child process that runs `function` was killed before its `step`-th call."""
        child = os.fork()
        if child == 0:
            with self._counting(step, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                function()
            os._exit(0)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])

    def fail_at(self, step: int, function: Callable[[], object], code: int) -> bool:
        """Whether `function` met an OSError with this code at its `step`-th call, and raised what it makes of it."""

        def fail() -> None:
            raise OSError(code, os.strerror(code))

        with self._counting(step, fail) as seen:
            try:
                function()
            finally:
                reached = len(seen) >= step
        return reached

    def trace(self, function: Callable[[], object]) -> list[str]:
        """The calls that `function` makes, in order."""
        with self._counting(0, lambda: None) as seen:
            function()
        return seen


@pytest.fixture
def interrupter() -> Interrupter:
    return Interrupter()
