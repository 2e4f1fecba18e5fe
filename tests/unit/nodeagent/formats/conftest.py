"""A bare storage domain, and records to put on it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from nodeagent.wire.records import Run, RunHost, VmRecord

VM = "11111111-2222-4333-8444-555555555555"
DATA_CENTER = "99999999-2222-4333-8444-555555555555"


def host(letter: str) -> RunHost:
    return RunHost(f"{letter * 8}-0000-4000-8000-000000000000", f"{letter * 8}-b007-4000-8000-000000000000")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A file system in memory: these tests write durably some ten thousand times, and the disk is not their matter."""
    with TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


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
