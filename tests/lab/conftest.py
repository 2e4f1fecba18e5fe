"""Labs for tests with real parts: each in a directory, bridge and subnet of its own, so that none meets another.

`bare_lab` has two hosts with libvirtd alone, `lab` three with agents, `make_lab` makes others. They are shared by
the tests of a session: a test leaves hosts switched on, connected and without guests.
"""

import ipaddress
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.lab.lifecycle import bring_up, take_down
from reconciler.lab.model import Lab, plan_lab
from reconciler.lab.network import read_links
from tests.lab.apply_estate import Estate, host_uuids, make_home

MakeLab = Callable[..., Lab]
AGENT_COMMAND = (str(Path(sys.executable).with_name("ostler-agent")),)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)


def choose_network() -> tuple[str, str]:
    """A bridge name and a /24 of 198.18.0.0/15 (RFC 2544: for tests) that this machine does not have yet."""
    links = read_links()
    taken = [
        ipaddress.IPv4Interface(address).network for link in links.values() for address in link.addresses
    ]
    subnets = list(ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=24))
    for offset in range(len(subnets)):
        number = (os.getpid() + offset) % len(subnets)
        bridge = f"ostlert{number}"
        if bridge not in links and not any(subnets[number].overlaps(other) for other in taken):
            return bridge, str(subnets[number])
    raise AssertionError("no free subnet for a lab")


@pytest.fixture(scope="session")
def make_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeLab]:
    """Makes running labs; `make_lab(host_count, with_agents=False, **plan_lab's arguments)`."""
    made: list[Path] = []

    def make(host_count: int, *, with_agents: bool = False, **options: Any) -> Lab:
        bridge, subnet = choose_network()
        directory = tmp_path_factory.mktemp("lab") / "lab"
        made.append(directory)
        command = AGENT_COMMAND if with_agents else ()
        planned = plan_lab(
            directory, host_count, bridge=bridge, subnet=subnet, agent_command=command, **options
        )
        return bring_up(planned)

    yield make
    for directory in made:
        take_down(directory)


@pytest.fixture(scope="session")
def bare_lab(make_lab: MakeLab) -> Lab:
    return make_lab(2)


@pytest.fixture(scope="session")
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(3, with_agents=True)


@pytest.fixture(scope="session")
def machine_room(make_lab: MakeLab, tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """Three hosts with agents that trust one controller; nothing is declared or applied."""
    home = make_home(tmp_path_factory.mktemp("home"))
    lab = make_lab(3, with_agents=True, host_uuids=host_uuids(3), authorities=home / "pki")
    return Estate(lab, home, tmp_path_factory.mktemp("estate"))


@pytest.fixture(scope="module")
def data_center(machine_room: Estate) -> Estate:
    """The machine room, as delivered, with data center, cluster, networks and storage applied."""
    machine_room.reset()
    machine_room.apply()
    return machine_room


@pytest.fixture
def estate(data_center: Estate) -> Iterator[Estate]:
    """The module's data center for one test, which leaves hosts switched on and connected; its VMs are discarded."""
    yield data_center
    data_center.discard_vms()
