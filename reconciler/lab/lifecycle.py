"""A whole lab: made or repaired, told about, and removed without a trace.

`ostler lab up|down|status`, the demo and the tests' fixture call it.
"""

import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.lab.acceleration import kvm_works
from reconciler.lab.configuration import write_names
from reconciler.lab.errors import LabError, fail
from reconciler.lab.guestimage import build_guest_image, default_cache
from reconciler.lab.inside import host_init
from reconciler.lab.model import Lab, LabHost
from reconciler.lab.network import Link, make_bridge, read_links, remove_links
from reconciler.lab.power import power_off, power_on
from reconciler.lab.processes import PROC
from reconciler.lab.requirements import check_machine
from reconciler.lab.services import AGENT, LIBVIRTD, find_service
from reconciler.lab.sharedfs import build_shared_library
from reconciler.lab.state import lock_lab, read_lab, write_lab
from reconciler.pki.authority import create_authorities
from reconciler.problems import Problem, sort_problems

PARALLEL_HOSTS = 8


@dataclass(frozen=True, slots=True)
class HostStatus:
    """A row of `ostler lab status`. pid: the host's first process; network: up, cut, down (inside the host)
    or none; guests: running."""

    name: str
    address: str
    uuid: str
    pid: int | None
    boot_id: str
    libvirtd: bool
    agent: bool
    network: str
    guests: int


def bring_up(wanted: Lab, *, cache: Path | None = None) -> Lab:
    """Makes the lab, or what is missing of it: hosts that are off are switched on, further hosts are added.

    Hosts that run are left as they are, and none is removed. Refuses a machine that cannot make hosts and
    another bridge or subnet than the lab has; after a LabError `take_down` removes what was made.
    """
    if problems := check_machine():
        raise LabError(problems)
    wanted.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_lab(wanted.directory):
        lab = _merge(read_lab(wanted.directory), wanted)
        lab = _provide_guest(lab, cache or default_cache())
        write_lab(lab)
        make_bridge(lab)
        write_names(lab)
        if not lab.authorities.exists():
            create_authorities(lab.authorities)
        _for_all(lab.hosts, lambda host: power_on(lab, host.name))
    return lab


def _merge(found: Lab | None, wanted: Lab) -> Lab:
    if found is None:
        return wanted
    if (found.bridge, found.subnet) != (wanted.bridge, wanted.subnet):
        raise fail(
            f"the lab in {found.directory} has bridge {found.bridge} and subnet {found.subnet}",
            "`ostler lab down` first, or give the same",
        )
    known = {host.name for host in found.hosts}
    hosts = (*found.hosts, *(host for host in wanted.hosts if host.name not in known))
    command = wanted.agent_command or found.agent_command
    data_center = wanted.data_center or found.data_center
    return replace(found, hosts=hosts, agent_command=command, data_center=data_center)


def _provide_guest(lab: Lab, cache: Path) -> Lab:
    """Copies what guests boot, because the cache may be cleared while the lab runs; tries KVM for a new lab."""
    image = build_guest_image(cache)
    library = build_shared_library(cache)
    lab.shared.mkdir(exist_ok=True)
    if lab.guest.exists():
        return lab
    staging = lab.directory / ".guest"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    shutil.copyfile(image.kernel, staging / "vmlinuz")
    shutil.copyfile(image.unpacked, staging / "vmlinux")
    shutil.copyfile(image.initrd, staging / "initrd")
    shutil.copyfile(library, staging / "sharedfs.so")
    staging.rename(lab.guest)
    return replace(lab, kvm=kvm_works(image))


def take_down(directory: Path) -> bool:
    """Ends every process of the lab and removes its links and its directory; False if there was no lab.

    Touches only what the lab made. Refuses while something else is mounted below its directory.
    """
    place = directory.absolute()
    if not place.exists():
        return False
    with lock_lab(place):
        lab = read_lab(place)
        if lab is None:
            return False
        _for_all(lab.hosts, lambda host: power_off(lab, host.name))
        remove_links(lab)
        _refuse_mounts(place)
        shutil.rmtree(place)
    return True


def _refuse_mounts(directory: Path) -> None:
    prefix = f"{directory}/"
    for line in (PROC / "self" / "mountinfo").read_text().splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])
        if f"{point}/".startswith(prefix):
            raise fail(
                f"{point} is mounted inside the lab's directory", "unmount it; its files would be deleted"
            )


def list_status(lab: Lab) -> tuple[HostStatus, ...]:
    """How each host is now."""
    links = read_links()
    return tuple(_read_status(lab, host, links.get(lab.link(host))) for host in lab.hosts)


def describe_cable(link: Link | None) -> str:
    """A host's network by the machine's end of its cable."""
    if link is None:
        return "none"
    if not link.up:
        return "cut"
    return "up" if link.carrier else "down"


def _read_status(lab: Lab, host: LabHost, link: Link | None) -> HostStatus:
    init = host_init(lab, host.name)
    return HostStatus(
        name=host.name,
        address=host.address,
        uuid=host.uuid,
        pid=init.pid if init else None,
        boot_id=host.boot_id_file.read_text().strip() if init else "",
        libvirtd=find_service(lab, host.name, LIBVIRTD) is not None,
        agent=find_service(lab, host.name, AGENT) is not None,
        network=describe_cable(link),
        guests=len(list((PROC / str(init.pid) / "root/run/libvirt/qemu").glob("*.xml"))) if init else 0,
    )


def _for_all(hosts: Iterable[LabHost], action: Callable[[LabHost], None]) -> None:
    """Does it to all hosts at once and to every one of them; then raises the problems of all that failed."""
    problems: list[Problem] = []

    def attempt(host: LabHost) -> None:
        try:
            action(host)
        except LabError as error:
            problems.extend(replace(p, object=p.object or f"host/{host.name}") for p in error.problems)

    with ThreadPoolExecutor(PARALLEL_HOSTS) as pool:
        list(pool.map(attempt, hosts))
    if problems:
        raise LabError(sort_problems(problems))
