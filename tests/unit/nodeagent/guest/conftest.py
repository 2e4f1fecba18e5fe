"""A host with the fake hypervisor and real records on a real storage domain in a directory."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nodeagent.facts.exits import Exits
from nodeagent.formats.domainlayout import make_domain
from nodeagent.formats.domainmetadata import DomainMetadata
from nodeagent.formats.vmrecords import read_vm_record, write_vm_record
from nodeagent.host import Host
from nodeagent.operations.contract import HostPaths
from nodeagent.operations.vm_operations import VM_OPERATIONS
from nodeagent.settings import Settings
from nodeagent.storage import StorageDomains
from nodeagent.storagefile import ConnectedDomain
from nodeagent.wire.arguments import KINDS, StorageConnection
from nodeagent.wire.records import VmRecord
from tests.unit.nodeagent.guest.fake_hypervisor import FakeHypervisor
from tests.unit.nodeagent.guest.samples import DATA_CENTER, MASTER

HOST = "aaaaaaaa-0000-4000-8000-000000000001"
BOOT = "bbbbbbbb-0000-4000-8000-000000000001"
OPERATIONS = {operation.kind: operation for operation in VM_OPERATIONS}


@dataclass
class FakeControl:
    key: str = "apply/step"
    evidence: Any = None
    secrets: dict[str, str] = field(default_factory=dict)
    secret_digests: dict[str, str] = field(default_factory=dict)
    limit_ms: int = 400
    begun: float = field(default_factory=time.monotonic)
    notes: dict[str, Any] = field(default_factory=dict)
    reports: list[Any] = field(default_factory=list)

    def cancelled(self) -> bool:
        return self.remaining_ms() == 0

    def remaining_ms(self) -> int:
        return max(0, int(self.limit_ms - 1000 * (time.monotonic() - self.begun)))

    def report(self, progress: Any) -> None:
        self.reports.append(progress)

    def note(self, key: str, value: Any) -> None:
        self.notes[key] = value

    def noted(self) -> dict[str, Any]:
        return dict(self.notes)


@dataclass
class Bench:
    """The host and shorthands for what tests do with it."""

    host: Host
    hypervisor: FakeHypervisor

    def check(self, arguments: Any) -> str | None:
        return OPERATIONS[KINDS[type(arguments)]].check(self.host, arguments)

    def run(self, arguments: Any, **control: Any) -> dict[str, Any]:
        return OPERATIONS[KINDS[type(arguments)]].run(self.host, arguments, FakeControl(**control))

    def verify(self, arguments: Any) -> str | None:
        return OPERATIONS[KINDS[type(arguments)]].verify(self.host, arguments)

    def recover(self, arguments: Any, **control: Any) -> bool | None:
        return OPERATIONS[KINDS[type(arguments)]].recover(self.host, arguments, FakeControl(**control))

    def define(self, config: Any) -> None:
        record = VmRecord(config.uuid, config.object, DATA_CENTER, 1, 1, config.machine, config.cpu.model)
        write_vm_record(self.host.storage.place(MASTER), None, record)

    def record(self, vm: str) -> VmRecord:
        record = read_vm_record(self.host.storage.place(MASTER), vm)
        assert record is not None
        return record


@pytest.fixture
def bench(tmp_path: Path):
    shared = tmp_path / "shared"
    shared.mkdir()
    make_domain(shared, DomainMetadata(MASTER, "LOCALFS", "Master", "test", (DATA_CENTER,), str(shared)))
    paths = HostPaths(tmp_path / "state", tmp_path / "mounts", console_logs=tmp_path / "console")
    paths.state.mkdir()
    storage = StorageDomains(paths)
    storage.connect(ConnectedDomain(MASTER, DATA_CENTER, StorageConnection("localfs", str(shared)), 1))
    hypervisor = FakeHypervisor()
    host = Host(
        uuid=HOST,
        name="h1",
        boot_id=BOOT,
        address="192.0.2.1",
        paths=paths,
        hypervisor=hypervisor,
        storage=storage,
        links=None,
        exits=Exits.load(paths.state / "exits", BOOT, tmp_path / "logs"),
        settings=Settings.load(paths.state / "settings.json"),
    )
    hypervisor.listen(host.exits.hear)
    yield Bench(host, hypervisor)
    storage.close()
