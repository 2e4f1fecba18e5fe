"""A bare storage domain, records to put on it, and processes that die at any system call."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodeagent.wire.records import Run, RunHost, VmRecord

VM = "11111111-2222-4333-8444-555555555555"
DATA_CENTER = "99999999-2222-4333-8444-555555555555"
CALLS = ("open", "write", "fsync", "link", "rename", "unlink", "mkdir", "fchmod", "fchown", "scandir", "stat")


def host(letter: str) -> RunHost:
    return RunHost(f"{letter * 8}-0000-4000-8000-000000000000", f"{letter * 8}-b007-4000-8000-000000000000")


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


@pytest.fixture
def make_place(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        for part in ("vms", "disks", "tasks"):
            (tmp_path / name / "master" / part).mkdir(parents=True)
        return tmp_path / name

    return make


@pytest.fixture
def place(make_place: Callable[[str], Path]) -> Path:
    return make_place("master-domain")


@pytest.fixture
def copy(make_place: Callable[[str], Path]) -> Path:
    return make_place("copy-domain")


@pytest.fixture
def record() -> VmRecord:
    return VmRecord(
        uuid=VM,
        object="vm/web-1",
        data_center=DATA_CENTER,
        revision=1,
        incarnation=1,
        machine="pc-q35-7.2",
        cpu_model="qemu64",
    )


@pytest.fixture
def following() -> Callable[..., VmRecord]:
    def make(record: VmRecord, **changes: object) -> VmRecord:
        return replace(record, revision=record.revision + 1, **changes)  # type: ignore[arg-type]

    return make


@pytest.fixture
def hosts() -> tuple[RunHost, RunHost, RunHost]:
    return host("a"), host("b"), host("c")


@pytest.fixture
def open_run(hosts: tuple[RunHost, ...]) -> Run:
    return Run(number=1, hosts=hosts[:1])
