"""The whole command line in one process: real commands, manifests, certificates and store, on simulated hosts in
virtual time."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.agentlink.protocol import Fleet
from reconciler.cli import clock as clock_module
from reconciler.cli import fleet as fleet_module
from reconciler.cli.main import run
from reconciler.desired.build import build_desired
from reconciler.desired.read import read_paths
from reconciler.pki.authority import create_authorities
from reconciler.pki.export import write_controller_files
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.faults import Faults
from reconciler.simulation.link import link_fleet
from reconciler.simulation.world import World
from reconciler.store.store import Store, open_store
from tests.scenarios.stage import make_stage

BASES = Path(__file__).parents[2] / "scenarios" / "bases"


@dataclass(frozen=True)
class Result:
    """How a command line ended."""

    status: int
    out: str
    err: str


@dataclass
class Desk:
    """A person's desk: manifests, a home, and the command. `world` is what the manifests' hosts are."""

    home: Path
    manifests: Path
    world: World
    faults: Faults
    capture: pytest.CaptureFixture[str]
    links: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> Result:
        """Runs one command line; `-f MANIFESTS` where `-f` alone is given."""
        full = [
            part for one in arguments for part in (("-f", str(self.manifests)) if one == "-f" else (one,))
        ]
        self.capture.readouterr()
        status = run(full)
        seen = self.capture.readouterr()
        assert "Traceback" not in seen.err + seen.out, seen.err
        return Result(int(status), seen.out, seen.err)

    def declare(self, name: str, text: str) -> None:
        """Writes one more manifest, or another text for one."""
        (self.manifests / name).write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        """Changes a manifest; the old text must be there."""
        path = self.manifests / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def where(self, vm: str) -> str | None:
        """The host on which a VM runs, None if it does not."""
        return next(
            (
                host.id
                for host in self.world.hosts.values()
                for guest in host.guests.values()
                if guest.config.object == vm and guest.state != "incoming"
            ),
            None,
        )

    def guest(self, vm: str) -> Any:
        """The running guest of a VM."""
        host = self.world.hosts[str(self.where(vm))]
        return next(one for one in host.guests.values() if one.config.object == vm)

    def store(self) -> Store:
        """The store that commands use; to be closed."""
        return open_store(self.home / "store.sqlite")


@pytest.fixture(scope="session")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a controller, made once: keys take long."""
    place = tmp_path_factory.mktemp("pki")
    authorities = create_authorities(place / "pki")
    write_controller_files(authorities, authorities.issue_controller("ci"), place / "controller")
    return place


@pytest.fixture
def desk(
    tmp_path: Path, controller: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    """Two hosts with one VM declared, nothing applied yet."""
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    for name in ("center", "h1", "h2", "web-1"):
        shutil.copy(BASES / f"{name}.yaml", manifests / f"{name}.yaml")
    home = tmp_path / "home"
    shutil.copytree(controller, home)
    desired, problems = build_desired(read_paths([str(manifests)], None).documents)
    assert not problems
    world, faults = make_stage(desired["dc/farm"]).world, Faults()
    made = Desk(home, manifests, world, faults, capsys)

    @asynccontextmanager
    async def connect(*_arguments: Any) -> AsyncIterator[Fleet]:
        made.links = link_fleet(world, faults)
        yield made.links

    monkeypatch.setenv("OSTLER_HOME", str(home))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(fleet_module, "connect_fleet", connect)
    monkeypatch.setattr(asyncio, "run", run_in_virtual_time)
    monkeypatch.setattr(clock_module, "time_ns", lambda: world.wallclock_ms * 1_000_000)
    return made


@pytest.fixture
def applied(desk: Desk) -> Desk:
    """The same, after `ostler apply`: vm/web-1 runs."""
    result = desk("apply", "-f", "--yes")
    assert result.status == 0, result.err
    assert desk.where("vm/web-1") is not None
    return desk
