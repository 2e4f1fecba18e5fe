"""What a lab is: its hosts, their addresses and where their files lie. Values only.

`state` keeps a Lab in a file; every function of this package takes one.
"""

import hashlib
import ipaddress
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from reconciler.lab.errors import LabRequestError, fail
from reconciler.problems import Problem

DEFAULT_BRIDGE = "ostlerlab0"
DEFAULT_SUBNET = "198.51.100.0/24"  # RFC 5737: documentation only, so no real network is hidden by it
AGENT_PORT = 54330
LIBVIRT_TLS_PORT = 16514
MAX_HOSTS = 99
MAX_BRIDGE_LENGTH = 11  # a link's name is the bridge's with "-h99" and at most 15 characters
FIRST_HOST_ADDRESS = 10  # host i has the subnet's address 10 + i, the machine itself has 1
MAX_DIRECTORY_LENGTH = 200  # it stands in the alias of links, which takes 255 bytes
SHARED_INSIDE = "/srv/ostler/shared"
GUEST_INSIDE = "/usr/share/ostler/guest"
AGENT_CONFIG_INSIDE = "/etc/ostler/agent.yaml"
CERTIFICATES_INSIDE = "/etc/ostler/pki"
_LAB_NAMESPACE = uuid.UUID("0b4e8a5c-7d3e-5a53-9a5f-6a1d8f0c2b11")


@dataclass(frozen=True, slots=True)
class LabHost:
    """One hypervisor host: `directory` holds everything that is its own and survives a power-off."""

    name: str
    uuid: str
    address: str
    directory: Path

    @property
    def root(self) -> Path:
        """The host's own directories, by their path inside the host."""
        return self.directory / "root"

    @property
    def init_file(self) -> Path:
        """Which process is the host's PID 1; the process itself writes it."""
        return self.directory / "init"

    @property
    def ready_file(self) -> Path:
        """There once the host's mounts are made."""
        return self.directory / "ready"

    @property
    def boot_id_file(self) -> Path:
        """The boot id that the host sees, new at each power-on."""
        return self.directory / "boot_id"

    @property
    def init_log(self) -> Path:
        """What the host's start said."""
        return self.directory / "init.log"

    @property
    def mac(self) -> str:
        """Of the host's eth0; the same after each power-on, or neighbours would look for the old one."""
        return "02:" + hashlib.sha256(self.uuid.encode()).digest()[:5].hex(":")

    def outside(self, inside: str) -> Path:
        """Where the machine sees a file of the host's own directories, such as /var/log/libvirt/x."""
        return self.root / inside.lstrip("/")


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab: `hosts` in the order of their numbers; an empty `agent_command` means hosts without agent.

    `authorities` is a directory of `reconciler.pki.authority`, in the lab's directory unless another was given.
    """

    directory: Path
    bridge: str
    subnet: str
    hosts: tuple[LabHost, ...]
    authorities: Path
    agent_command: tuple[str, ...] = ()
    data_center: str | None = None
    kvm: bool = False

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge, with the prefix length."""
        network = ipaddress.IPv4Network(self.subnet)
        return f"{network.network_address + 1}/{network.prefixlen}"

    @property
    def prefix_length(self) -> int:
        """Of the subnet."""
        return ipaddress.IPv4Network(self.subnet).prefixlen

    @property
    def shared(self) -> Path:
        """The shared storage as the machine sees it; hosts see it as /srv/ostler/shared."""
        return self.directory / "shared"

    @property
    def guest(self) -> Path:
        """Guest kernel and initramfs; hosts see them in /usr/share/ostler/guest."""
        return self.directory / "guest"

    @property
    def mark(self) -> str:
        """The alias of every network link that belongs to this lab."""
        return f"ostler lab {self.directory}"

    def host(self, name: str) -> LabHost:
        """The host of that name; raises LabError for another."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts) or "none"
        raise fail(f"the lab has no host {name!r}", f"its hosts are: {known}", f"host/{name}")

    def link(self, host: LabHost) -> str:
        """The machine's end of the cable to a host."""
        return f"{self.bridge}-{host.name}"

    def uplink(self, host: LabHost) -> str:
        """The machine's end of the second cable to a host: eth1 in there, the uplink of guests' networks."""
        return f"{self.bridge}+{host.name}"


def refuse(summary: str, detail: str) -> LabRequestError:
    """A wrong request as an error with one problem."""
    return LabRequestError([Problem(summary, detail)])


def plan_lab(
    directory: Path,
    host_count: int,
    *,
    bridge: str = DEFAULT_BRIDGE,
    subnet: str = DEFAULT_SUBNET,
    host_uuids: dict[str, str] | None = None,
    agent_command: tuple[str, ...] = (),
    data_center: str | None = None,
    authorities: Path | None = None,
) -> Lab:
    """Hosts h1 to hN with addresses 11 to 10+N of the subnet; refuses counts, names and subnets that cannot be.

    `host_uuids` gives uuids by name; others are UUIDv5 of the name, the same in every lab.
    """
    network = _read_subnet(subnet)
    if not 1 <= host_count <= min(MAX_HOSTS, network.num_addresses - FIRST_HOST_ADDRESS - 2):
        raise refuse(
            f"a lab of {host_count} hosts cannot be made in {subnet}", f"give 1 to {MAX_HOSTS} hosts"
        )
    if not re.fullmatch(rf"[a-z][a-z0-9]{{0,{MAX_BRIDGE_LENGTH - 1}}}", bridge):
        raise refuse(
            f"{bridge!r} cannot be a lab's bridge",
            f"give 1 to {MAX_BRIDGE_LENGTH} of a-z and 0-9, a letter first",
        )
    place = directory.absolute()
    if len(str(place)) > MAX_DIRECTORY_LENGTH or not str(place).isprintable() or '"' in str(place):
        raise refuse(
            f"a lab cannot lie in {place!r}",
            f"give a path of at most {MAX_DIRECTORY_LENGTH} plain characters",
        )
    hosts = tuple(_plan_host(place, number, network, host_uuids or {}) for number in range(1, host_count + 1))
    trust = (authorities or place / "pki").absolute()
    return Lab(place, bridge, str(network), hosts, trust, agent_command, data_center)


def _plan_host(
    directory: Path, number: int, network: ipaddress.IPv4Network, uuids: dict[str, str]
) -> LabHost:
    name = f"h{number}"
    address = str(network.network_address + FIRST_HOST_ADDRESS + number)
    host_uuid = uuids.get(name) or str(uuid.uuid5(_LAB_NAMESPACE, name))
    return LabHost(name, host_uuid, address, directory / "hosts" / name)


def _read_subnet(text: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise refuse(f"{text!r} is no IPv4 subnet", f"{error}; give one such as {DEFAULT_SUBNET}") from error
    if not 16 <= network.prefixlen <= 27:
        raise refuse(f"{text} cannot be a lab's subnet", "give a prefix length from 16 to 27")
    return network
