"""Storage domains in temporary directories, and a mount namespace of one's own for tests that mount."""

import ctypes
import os
import subprocess
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from nodeagent.drivers.command import Limits, run_command
from nodeagent.drivers.libvirt_values import GuestRow
from nodeagent.errors import DriverError
from nodeagent.facts.exits import Exits
from nodeagent.formats.domainlayout import make_domain
from nodeagent.formats.domainmetadata import DomainMetadata
from nodeagent.host import Host
from nodeagent.operations.contract import HostPaths, Operation, OperationError
from nodeagent.settings import Settings
from nodeagent.storage import StorageDomains
from nodeagent.storagefile import ConnectedDomain
from nodeagent.wire.arguments import StorageConnection
from nodeagent.wire.orders import Evidence, Progress
from tests.unit.nodeagent.storage.disks import CREATE, CREATION, IMAGE, VOLUME, Order
from tests.unit.nodeagent.storage.vms import MASTER, SECOND

DOMAIN = "44444444-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
HOST = "aaaaaaaa-2222-4333-8444-555555555555"
_CLONE_NEWNS = 0x00020000


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    (tmp_path / "state").mkdir()
    return HostPaths(state=tmp_path / "state", mounts=tmp_path / "mounts", tpm_state=tmp_path / "swtpm")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """What a storage server exports: a directory with one domain in it."""
    root = tmp_path / "remote"
    root.mkdir()
    make_domain(root, metadata())
    return root


def metadata(uuid: str = DOMAIN, center: str = CENTER) -> DomainMetadata:
    return DomainMetadata(
        uuid=uuid, type="POSIXFS", role="Master", description="main", pools=(center,), remote_path="/x"
    )


@pytest.fixture
def local(remote: Path) -> ConnectedDomain:
    return ConnectedDomain(DOMAIN, CENTER, StorageConnection("localfs", str(remote)), 1)


@pytest.fixture
def bound(remote: Path) -> ConnectedDomain:
    return ConnectedDomain(DOMAIN, CENTER, StorageConnection("posixfs", str(remote), "none", "bind"), 1)


@pytest.fixture
def make_domains(paths: HostPaths) -> Iterator[Callable[[], StorageDomains]]:
    """Registries over the same state, as one agent after another has them; looks are quick."""
    made: list[StorageDomains] = []

    def make() -> StorageDomains:
        made.append(StorageDomains(paths, check_period_s=0.05, look_limit_ms=500))
        return made[-1]

    yield make
    for domains in made:
        domains.close()


@pytest.fixture
def domains(make_domains: Callable[[], StorageDomains]) -> StorageDomains:
    return make_domains()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    def wait(reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not reached():
            assert time.monotonic() < deadline, "did not come about within 30 s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def privately() -> Callable[[Callable[[], object]], None]:
    """Runs a function in a child process with a mount namespace of its own; what it mounts ends with it."""

    def run(function: Callable[[], object]) -> None:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                assert ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) == 0
                run_command(["mount", "--make-rprivate", "/"], Limits(10_000))
                function()
                status = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0

    return run


@dataclass
class FakeHypervisor:
    """What operations on storage ask of libvirt: guests with their XML; resizing as libvirt would do it."""

    xml: dict[str, str] = field(default_factory=dict)
    resized: list[tuple[str, str, int]] = field(default_factory=list)
    failing: bool = False

    def list_guests(self) -> tuple[GuestRow, ...]:
        if self.failing:
            raise DriverError("libvirt does not answer")
        return tuple(GuestRow(vm, vm, True, "running", xml=xml) for vm, xml in self.xml.items())

    def list_processes(self) -> dict[str, int]:
        return dict.fromkeys(self.xml, 1)

    def is_running(self, vm: str) -> bool:
        return vm in self.xml

    def domain_xml(self, vm: str) -> str:
        return self.xml[vm]

    def resize_disk(self, vm: str, target: str, size_bytes: int) -> None:
        self.resized.append((vm, target, size_bytes))
        source = ET.fromstring(self.xml[vm]).find(f"devices/disk/target[@dev='{target}']/../source")
        assert source is not None
        subprocess.run(["qemu-img", "resize", "-q", source.get("file", ""), str(size_bytes)], check=True)

    def run(self, vm: str, *files: Path) -> None:
        disks = "".join(
            f"<disk type='file' device='disk'><source file='{file}'/><target dev='vd{letter}'/></disk>"
            for letter, file in zip("abcdef", files, strict=False)
        )
        self.xml[vm] = f"<domain><uuid>{vm}</uuid><devices>{disks}</devices></domain>"


@dataclass
class FakeControl:
    """An order with an hour left."""

    key: str = "apply/step"
    evidence: Evidence | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    secret_digests: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False

    def cancelled(self) -> bool:
        return self.stopped

    def remaining_ms(self) -> int:
        return 3_600_000

    def report(self, progress: Progress) -> None:
        return

    def note(self, key: str, value: Any) -> None:
        self.notes[key] = value

    def noted(self) -> dict[str, Any]:
        return self.notes


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    return FakeHypervisor()


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def host(paths: HostPaths, domains: StorageDomains, hypervisor: FakeHypervisor) -> Host:
    boot_id = "bbbbbbbb-2222-4333-8444-555555555555"
    (paths.state / "exits").mkdir()
    return Host(
        uuid=HOST,
        name="host-1",
        boot_id=boot_id,
        address="192.0.2.1",
        paths=paths,
        hypervisor=cast(Any, hypervisor),
        storage=domains,
        links=cast(Any, None),
        exits=Exits.load(paths.state / "exits", boot_id),
        settings=Settings.load(paths.state / "settings.json"),
    )


@pytest.fixture
def order(host: Host, control: FakeControl) -> Callable[..., str]:
    """Carries out one order as the engine does: refused, failed or done, in words. Done is the empty text."""

    def carry_out(operation: Operation[Any], arguments: Any, **changes: Any) -> str:
        for name, value in changes.items():
            setattr(control, name, value)
        try:
            objection = operation.check(host, arguments)
        except OperationError as error:
            return f"refused: {error.summary}"
        if objection is not None:
            return f"refused: {objection}"
        try:
            operation.run(host, arguments, control)
        except OperationError as error:
            return f"failed: {error.summary}"
        difference = operation.verify(host, arguments)
        assert operation.recover(host, arguments, control) is (difference is None)
        return f"differs: {difference}" if difference else ""

    return carry_out


@pytest.fixture
def place(host: Host, local: ConnectedDomain) -> Path:
    host.storage.connect(local)
    return host.storage.place(DOMAIN)


@pytest.fixture
def volume(place: Path, order: Order) -> Path:
    """The file of a disk that was made by order."""
    assert order(CREATE, CREATION) == ""
    return place / "images" / IMAGE / VOLUME


@pytest.fixture
def master(host: Host, local: ConnectedDomain) -> Path:
    host.storage.connect(local)
    return host.storage.place(MASTER)


@pytest.fixture
def copy(host: Host, tmp_path: Path) -> Path:
    (tmp_path / "second").mkdir()
    make_domain(
        tmp_path / "second",
        DomainMetadata(SECOND, "LOCALFS", "Regular", "second", (CENTER,), "/x"),
    )
    connection = StorageConnection("localfs", str(tmp_path / "second"))
    host.storage.connect(ConnectedDomain(SECOND, CENTER, connection, 1))
    return host.storage.place(SECOND)
