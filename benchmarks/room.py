"""A machine room for measurements: lab hosts with agents, a data center declared and applied; taken down afterwards."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.lab.inside import host_init
from reconciler.lab.lifecycle import bring_up, take_down
from reconciler.lab.model import plan_lab
from tests.lab.apply_estate import Estate, host_uuids, make_home
from tests.lab.conftest import AGENT_COMMAND, choose_network


@contextmanager
def machine_room(hosts: int) -> Iterator[Estate]:
    """An estate over so many lab hosts, its base applied: cluster, networks, a shared storage domain."""
    with tempfile.TemporaryDirectory(prefix="ostler-bench-") as place:
        directory = Path(place)
        home = make_home(directory / "home")
        bridge, subnet = choose_network()
        planned = plan_lab(
            directory / "lab", hosts, bridge=bridge, subnet=subnet, agent_command=AGENT_COMMAND,
            host_uuids=host_uuids(hosts), authorities=home / "pki",
        )  # fmt: skip
        try:
            estate = Estate(bring_up(planned), home, directory)
            estate.declare_base()
            estate.apply()
            yield estate
        finally:
            take_down(directory / "lab")


def libvirt_uri(estate: Estate, host: str) -> str:
    """By which this machine reaches a lab host's libvirtd."""
    init = host_init(estate.lab, host)
    assert init is not None, host
    return f"qemu:///system?socket=/proc/{init.pid}/root/run/libvirt/libvirt-sock"


def cpu_by_program(estate: Estate) -> dict[str, float]:
    """CPU seconds that the living processes of all lab hosts have used so far, by program: agents, libvirtds, guests."""
    spaces = {Path(f"/proc/{init.pid}/ns/pid").readlink() for host in estate.lab.hosts
              if (init := host_init(estate.lab, host.name)) is not None}  # fmt: skip
    used: Counter[str] = Counter()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/pid").readlink() in spaces:
                program, _, rest = (process / "stat").read_text().partition("(")[2].rpartition(")")
                used[program] += sum(map(int, rest.split()[11:15]))
        except OSError:
            continue  # it has ended meanwhile
    return {program: ticks / os.sysconf("SC_CLK_TCK") for program, ticks in used.items()}


def cpu_since(before: dict[str, float], estate: Estate) -> dict[str, float]:
    """CPU seconds by program since an earlier look."""
    return {name: seconds - before.get(name, 0.0) for name, seconds in cpu_by_program(estate).items()}
