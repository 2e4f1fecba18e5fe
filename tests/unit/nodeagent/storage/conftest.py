"""Storage domains in temporary directories, and a mount namespace of one's own for tests that mount."""

import ctypes
import os
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent.drivers.command import Limits, run_command
from nodeagent.formats.domainlayout import make_domain
from nodeagent.formats.domainmetadata import DomainMetadata
from nodeagent.operations.contract import HostPaths
from nodeagent.storage import StorageDomains
from nodeagent.storagefile import ConnectedDomain
from nodeagent.wire.arguments import StorageConnection

DOMAIN = "44444444-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
_CLONE_NEWNS = 0x00020000


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    (tmp_path / "state").mkdir()
    return HostPaths(state=tmp_path / "state", mounts=tmp_path / "mounts")


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
