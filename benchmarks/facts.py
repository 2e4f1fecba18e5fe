"""What an agent's facts cost on a host with 100 paused guests, and whether one that hangs delays the others'."""

import asyncio
import os
import shutil
import signal
import statistics
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt

from benchmarks.apply import apply, same_guest
from benchmarks.room import cpu_by_program, cpu_since, libvirt_uri, machine_room
from nodeagent.wire.facts import HostState
from reconciler.agentlink.https import connect_fleet
from reconciler.agentlink.protocol import AgentLink
from reconciler.agentlink.transport import HostAddress
from reconciler.lab.model import AGENT_PORT
from reconciler.pki.contexts import controller_context
from reconciler.pki.export import ControllerFiles
from tests.lab.apply_estate import Estate

GUESTS = 100
CHANGES = 10
MOST_CPU_S = 0.15
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one change and the `GET /v1/facts` after it: CPU seconds by program, and seconds until it was answered."""

    agent: float
    libvirtd: float
    answered: float


def template_of(estate: Estate) -> tuple[str, Path]:
    """XML of a guest as the agent makes it, with {vm}, {image} and {volume}; and the image of its disk."""
    estate.declare("Disk", "first", storageDomain="shared", size="16Mi")
    estate.declare("VirtualMachine", "first", cluster="main", memory="32Mi", disks=[{"disk": "first"}])
    apply(estate)
    images = estate.master / "images" / estate.uuid("disk/first")
    template = same_guest(estate, "h1", "vm/first")
    estate.virsh("h1", "destroy", estate.uuid("vm/first"))
    return template, next(images.glob("*.lease")).with_suffix("")


def start_paused(link: Any, template: str, image: Path) -> str:
    """One paused guest with a copy of the disk; its uuid."""
    names = {name: str(uuid.uuid4()) for name in ("{vm}", "{image}", "{volume}")}
    xml = template
    for name, value in names.items():
        xml = xml.replace(name, value)
    disk = image.parent.parent / names["{image}"] / names["{volume}"]
    disk.parent.mkdir()
    shutil.copy(image, disk)
    link.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED)
    return names["{vm}"]


@contextmanager
def paused_guests(estate: Estate) -> Iterator[tuple[Any, list[str]]]:
    """A connection to the first host's libvirtd, and 100 paused guests there, destroyed afterwards."""
    template, image = template_of(estate)
    link = libvirt.open(libvirt_uri(estate, "h1"))
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            guests = list(pool.map(lambda _number: start_paused(link, template, image), range(GUESTS)))
        yield link, guests
    finally:
        for domain in link.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            domain.destroy()
        link.close()


@contextmanager
def hung(guest: str) -> Iterator[None]:
    """The guest's QEMU stands still for the block."""
    wanted = f"-uuid\0{guest}\0".encode()
    commands = {path.parent: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")}
    pid = next(int(path.name) for path, words in commands.items() if wanted in words)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def measure(estate: Estate, agent: AgentLink, link: Any, guests: list[str]) -> Cost:
    """Guests resumed and paused again, one change after another, each followed by one GET."""
    before, answered = cpu_by_program(estate), []
    for number in range(CHANGES):
        domain = link.lookupByUUIDString(guests[number // 2])
        begin = time.monotonic()
        (domain.suspend if number % 2 else domain.resume)()
        state = await agent.state(fresh=True)
        answered.append(time.monotonic() - begin)
        assert state is not None
        assert states(state)[guests[number // 2]] == ("paused" if number % 2 else "running")
        assert len(state.guests) == GUESTS, len(state.guests)
    used = cpu_since(before, estate)
    agents = next(taken for program, taken in used.items() if program.startswith("ostler-agent"))
    return Cost(agents / CHANGES, used["libvirtd"] / CHANGES, statistics.median(answered))


def states(state: HostState) -> dict[str, str]:
    """What each guest is doing."""
    return {guest.uuid: guest.state for guest in state.guests}


async def run(estate: Estate) -> tuple[Cost, Cost, Cost]:
    """Costs with all guests well, with one that has just hung, and with one that hangs."""
    files = ControllerFiles(estate.home / "controller")
    lab_host = estate.lab.host("h1")
    host = HostAddress("host/h1", lab_host.uuid, lab_host.address, AGENT_PORT)

    def context(_host: HostAddress) -> Any:
        return controller_context(
            files.certificate, files.key, files.agents_authority, host_uuid=lab_host.uuid
        )

    with paused_guests(estate) as (link, guests):
        async with connect_fleet([host], context) as fleet:
            agent = fleet["host/h1"]
            while (state := await agent.state(fresh=True)) is None or len(state.guests) < GUESTS:
                await asyncio.sleep(0.5)
            well = await measure(estate, agent, link, guests)
            with hung(guests[-1]):
                first = await measure(estate, agent, link, guests)
                state = await agent.state(fresh=True)
                assert state is not None
                assert states(state)[guests[-1]] == "unknown"
                later = await measure(estate, agent, link, guests)
    return well, first, later


def main() -> list[str]:
    """Prints the table; returns what is not as wanted."""
    with machine_room(1) as estate:
        costs = asyncio.run(run(estate))
    print(
        f"one GET /v1/facts after a change, {GUESTS} guests, means of {CHANGES} changes (wanted: under 150 ms)"
    )
    print(f"  {'':32}{'agent CPU ms':>14}{'libvirtd CPU ms':>17}{'answered ms':>13}")
    for name, cost in zip(("all well", "one has just hung", "one hangs"), costs, strict=True):
        figures = (round(1000 * one) for one in (cost.agent, cost.libvirtd, cost.answered))
        print(f"  {name:32}{'{:>14}{:>17}{:>13}'.format(*figures)}")
    dear = max(one.agent for one in costs)
    return [f"facts cost {1000 * dear:.0f} ms of CPU"] if dear > MOST_CPU_S else []


if __name__ == "__main__":
    main()
