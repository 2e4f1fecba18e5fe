"""The lab's bridge and the cables from it to the hosts; every link carries the lab's mark as its alias.

`lifecycle` makes and removes the bridge, `power` plugs hosts in, tests cut a host off.
"""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from reconciler.lab.commands import run_checked
from reconciler.lab.errors import LabError, fail
from reconciler.lab.model import Lab

NET = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Link:
    """A network link of the machine: alias is empty where nobody marked it. carrier: the other end of its cable is up too."""

    name: str
    alias: str
    addresses: tuple[str, ...]
    up: bool
    carrier: bool


def read_links() -> dict[str, Link]:
    """The machine's links by name, with their IPv4 addresses (address/prefix length)."""
    rows = json.loads(run_checked(["ip", "-json", "address", "show"]))
    return {row["ifname"]: _read_link(row) for row in rows if "ifname" in row}


def _read_link(row: dict[str, object]) -> Link:
    info = row.get("addr_info")
    flags = row.get("flags")
    addresses = tuple(
        f"{entry['local']}/{entry['prefixlen']}"
        for entry in (info if isinstance(info, list) else [])
        if entry.get("family") == "inet" and "local" in entry
    )
    shown = flags if isinstance(flags, list) else []
    name = str(row["ifname"])
    return Link(name, _read_alias(name), addresses, "UP" in shown, "LOWER_UP" in shown)


def _read_alias(name: str) -> str:
    try:
        return (NET / name / "ifalias").read_text().strip()
    except OSError:  # `ip` lists no alias beside addresses; without the file there is none
        return ""


def make_bridge(lab: Lab) -> None:
    """The lab's bridge with the machine's address, made or repaired.

    Refuses a bridge of that name that is not this lab's, and a subnet that hides a network of the machine.
    """
    links = read_links()
    found = links.get(lab.bridge)
    if found and found.alias not in ("", lab.mark):
        raise fail(f"the link {lab.bridge} is there and is not this lab's", "choose another with --bridge")
    _refuse_overlap(lab, links)
    commands = [
        *([] if found else [f"link add name {lab.bridge} type bridge forward_delay 0"]),
        f'link set dev {lab.bridge} alias "{lab.mark}"',
        f"address replace {lab.gateway} dev {lab.bridge}",
        f"link set dev {lab.bridge} up",
    ]
    _run_batch(commands)


def _refuse_overlap(lab: Lab, links: dict[str, Link]) -> None:
    subnet = ipaddress.IPv4Network(lab.subnet)
    for link in links.values():
        for address in link.addresses:
            other = ipaddress.IPv4Interface(address).network
            if link.name != lab.bridge and other.overlaps(subnet):
                raise fail(
                    f"the subnet {subnet} overlaps {other}, which {link.name} of this machine has",
                    "choose another with --subnet",
                )


def connect_host(lab: Lab, name: str, init_pid: int) -> None:
    """Plugs a running host in: its eth0 with its address, its bare eth1, the other ends in the lab's bridge."""
    host = lab.host(name)
    for link, inside_name in ((lab.link(host), "eth0"), (lab.uplink(host), "eth1")):
        if not (NET / link).exists():
            _run_batch([f"link add name {link} type veth peer name {inside_name} netns {init_pid}"])
        _run_batch(
            [
                f'link set dev {link} alias "{lab.mark}"',
                f"link set dev {link} master {lab.bridge}",
                f"link set dev {link} up",
            ]
        )
    inside = [
        "link set dev lo up",
        f"link set dev eth0 address {host.mac}",
        f"address replace {host.address}/{lab.prefix_length} dev eth0",
        "link set dev eth0 up",
        f"route replace default via {lab.gateway.partition('/')[0]}",
    ]
    _run_batch(inside, ["nsenter", f"--target={init_pid}", "--net"])


def disconnect_host(lab: Lab, name: str) -> None:
    """Takes a host's cables away; nothing if there are none."""
    remove_link(lab.link(lab.host(name)))
    remove_link(lab.uplink(lab.host(name)))


def cut_network(lab: Lab, name: str) -> None:
    """Cuts a running host off from the others and from the machine; its shared storage stays."""
    for link in (lab.link(lab.host(name)), lab.uplink(lab.host(name))):
        run_checked(["ip", "link", "set", "dev", link, "down"])


def restore_network(lab: Lab, name: str) -> None:
    """Ends what `cut_network` did."""
    for link in (lab.link(lab.host(name)), lab.uplink(lab.host(name))):
        run_checked(["ip", "link", "set", "dev", link, "up"])


def remove_links(lab: Lab) -> None:
    """Removes every link of the lab, also what a broken start has left without its mark."""
    expected = {
        lab.bridge,
        *(lab.link(host) for host in lab.hosts),
        *(lab.uplink(host) for host in lab.hosts),
    }
    for link in read_links().values():
        if link.alias == lab.mark or (link.name in expected and not link.alias):
            remove_link(link.name)


def remove_link(name: str) -> None:
    """Deletes a link of the machine; nothing if it went away."""
    if (NET / name).exists():
        try:
            run_checked(["ip", "link", "delete", "dev", name])
        except LabError:  # went away with the host at the other end
            if (NET / name).exists():
                raise


def _run_batch(commands: list[str], prefix: list[str] | None = None) -> None:
    run_checked([*(prefix or []), "ip", "-batch", "-"], text_in="\n".join(commands) + "\n")
