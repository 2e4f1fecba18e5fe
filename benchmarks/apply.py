"""`ostler apply` of 50 small VMs on two lab hosts against a plain libvirt script, turn by turn on the same hosts."""

import json
import resource
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.room import cpu_by_program, cpu_since, libvirt_uri, machine_room
from reconciler.execution.run import RunLimits
from reconciler.lab.services import start_agent, stop_agent
from tests.lab.apply_estate import Estate

VMS = 50
MOST_RATIO = 1.3
"""Of the script's time."""
ROUNDS = 3
SIZE = "16Mi"


def declare_vms(estate: Estate, turn: int) -> list[str]:
    """Small VMs that sit in SeaBIOS, each with a disk; they have new names in each turn."""
    names = [f"t{turn}-{number}" for number in range(VMS)]
    for name in names:
        estate.declare("Disk", name, storageDomain="shared", size=SIZE)
        estate.declare("VirtualMachine", name, cluster="main", memory="32Mi", disks=[{"disk": name}])
    return [f"vm/{name}" for name in names]


def apply(estate: Estate) -> str:
    """`ostler apply` in a process of its own, from start to end; what it said."""
    words = ["-m", "reconciler.cli.main", "apply", "-f", str(estate.write()), "--yes"]
    done = subprocess.run(
        [sys.executable, *words], env={"PATH": "/usr/sbin:/usr/bin", "OSTLER_HOME": str(estate.home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def same_guest(estate: Estate, host: str, vm: str) -> str:
    """A guest that Ostler made, as XML with {vm}, {image} and {volume} where the next one differs."""
    xml = estate.virsh(host, "dumpxml", "--inactive", "--security-info", estate.uuid(vm))
    disk = estate.documents[vm]["spec"]["disks"][0]["disk"]
    image = estate.uuid(f"disk/{disk}")
    volume = next((estate.master / "images" / image).glob("*.lease")).stem
    for found, name in ((estate.uuid(vm), "{vm}"), (image, "{image}"), (volume, "{volume}")):
        assert found in xml, (found, xml)
        xml = xml.replace(found, name)
    return xml.replace(f">{vm.removeprefix('vm/')}<", ">{vm}<")


def plain_job(estate: Estate, template: str) -> str:
    """As many guests of the same kind, half of them for each host."""
    uris = [libvirt_uri(estate, host.name) for host in estate.lab.hosts]
    guests = []
    for number in range(VMS):
        names = {name: str(uuid.uuid4()) for name in ("{vm}", "{image}", "{volume}")}
        xml = template
        for name, value in names.items():
            xml = xml.replace(name, value)
        disk = estate.master / "images" / names["{image}"] / names["{volume}"]
        guests.append({"uri": uris[number % len(uris)], "disk": str(disk), "size": "16M", "xml": xml})
    return json.dumps({"at_once": RunLimits().orders_per_host, "guests": guests})


def run_plain(job: str) -> None:
    """The peer, in a process of its own, from start to end."""
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("plain.py"))], input=job, text=True, check=True
    )


def running(estate: Estate) -> int:
    """Guests that run on all hosts."""
    return sum(len(estate.virsh(host.name, "list", "--uuid").split()) for host in estate.lab.hosts)


@dataclass(frozen=True, slots=True)
class Turn:
    """One side's work. wall: seconds on the clock. cpu: seconds by program; `command` is what was started for it."""

    wall: float
    cpu: dict[str, float]

    @property
    def own(self) -> float:
        """CPU seconds of everything but the guests themselves."""
        return sum(taken for program, taken in self.cpu.items() if not program.startswith("qemu-system"))


def take_turn(estate: Estate, work: Callable[[], object]) -> Turn:
    """The work measured, and the hosts empty again. Agents begin anew: what guests of an earlier turn did is not to
    weigh on placement, which gives a host of two cores that is known to be busy at most sixteen VMs at once."""
    for host in estate.lab.hosts:
        stop_agent(estate.lab, host.name)
        start_agent(estate.lab, host.name)
    assert estate.plan()[1].status != 1  # the agents answer, with facts of their own collecting
    before, begin = cpu_by_program(estate), time.monotonic()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    wall, used = time.monotonic() - begin, cpu_since(before, estate)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    used["command"] = ended.ru_utime + ended.ru_stime - children.ru_utime - children.ru_stime
    found = running(estate)
    assert found == VMS, f"{found} of {VMS} guests run; is the machine too busy to measure?"
    estate.discard_vms()
    return Turn(wall, used)


def main() -> list[str]:
    """Prints the table; returns what is not as wanted."""
    with machine_room(2) as estate:
        vms = declare_vms(estate, 0)
        apply(estate)
        template = same_guest(estate, estate.home_of(vms[0]), vms[0])
        estate.discard_vms()
        ours, plain = [], []
        for turn in range(1, ROUNDS + 1):
            declare_vms(estate, turn)
            ours.append(take_turn(estate, lambda: apply(estate)))
            job = plain_job(estate, template)
            plain.append(take_turn(estate, partial(run_plain, job)))
    print(f"apply of {VMS} VMs on 2 hosts, medians of {ROUNDS} turns")
    print(f"  {'':24}{'seconds':>10}{'CPU seconds without guests':>30}   each turn")
    for name, turns in (("ostler apply", ours), ("plain libvirt script", plain)):
        wall, own = (
            statistics.median(one) for one in zip(*((one.wall, one.own) for one in turns), strict=True)
        )
        each = " ".join(f"{one.wall:.2f}" for one in turns)
        print(f"  {name:24}{wall:>10.2f}{own:>30.2f}   {each}")
        most = sorted(turns[-1].cpu.items(), key=lambda one: -one[1])[:6]
        print(f"    {', '.join(f'{program} {taken:.2f}' for program, taken in most)}")
    ratio = statistics.median(one.wall for one in ours) / statistics.median(one.wall for one in plain)
    print(f"  ratio {ratio:.2f} (wanted: at most {MOST_RATIO})")
    return [f"apply takes {ratio:.2f} times as long as the script"] if ratio > MOST_RATIO else []


if __name__ == "__main__":
    main()
