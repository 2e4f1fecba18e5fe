"""Network links of this host: what there is, and the bridges of logical networks. Wraps pyroute2.

A bridge that an order made carries the link alias `ostler:net/NAME`; nothing else is ever changed or removed.
Every call opens its own netlink socket, so that threads do not share one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nodeagent.errors import DriverError

ALIAS_PREFIX = "ostler:"
_STACKED = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"})
_NO_UPLINK = frozenset({"bridge", "tun", "tap", "openvswitch", "ifb", "dummy"})
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")


@dataclass(frozen=True, slots=True)
class Link:
    """One network link. mtu in bytes; master: the name of the bridge or bond that it is in; kind: empty for hardware.

    addresses: the host's own on it, without link-local ones; lower: the name of the link that it is stacked on.
    """

    index: int
    name: str
    kind: str
    mtu: int
    up: bool
    loopback: bool = False
    master: str | None = None
    alias: str = ""
    lower: str | None = None
    addresses: tuple[str, ...] = ()

    @property
    def network(self) -> str | None:
        """The logical network (object id) whose bridge this is; None if no order made it."""
        if self.kind == "bridge" and self.alias.startswith(ALIAS_PREFIX):
            return self.alias.removeprefix(ALIAS_PREFIX)
        return None


class Links:
    """The links of the network namespace that the agent runs in. All methods raise DriverError."""

    def read(self) -> dict[str, Link]:
        """All links by name."""
        with _netlink("list the network links") as route:
            raw = list(route.get_links())
            addresses = _own_addresses(route)
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in raw}
        links = (_link(message, names, addresses) for message in raw)
        return {link.name: link for link in links}

    def create_bridge(self, bridge: str, network: str) -> None:
        """Make a bridge and mark it as that of `network`; without STP, and without addresses of the host."""
        with _netlink(f"create bridge {bridge}") as route:
            route.link("add", ifname=bridge, kind="bridge", br_stp_state=0)
            index = _index(route, bridge)
            route.link("set", index=index, ifalias=f"{ALIAS_PREFIX}{network}")
            _keep_addresses_off(bridge)
            route.link("set", index=index, state="up")

    def mark_bridge(self, bridge: str, network: str) -> None:
        """Mark a bridge that exists as that of `network`, and set it up."""
        with _netlink(f"mark bridge {bridge}") as route:
            route.link("set", index=_index(route, bridge), ifalias=f"{ALIAS_PREFIX}{network}", state="up")

    def plug(self, nic: str, bridge: str) -> None:
        """Make `nic` a port of `bridge` and set it up. `objection_to_uplink` is the caller's to ask first."""
        with _netlink(f"put {nic} into bridge {bridge}") as route:
            _keep_addresses_off(nic)
            route.link("set", index=_index(route, nic), master=_index(route, bridge), state="up")

    def unplug(self, nic: str) -> None:
        """Take `nic` out of its bridge."""
        with _netlink(f"take {nic} out of its bridge") as route:
            route.link("set", index=_index(route, nic), master=0)

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set the MTU of a link, in bytes."""
        with _netlink(f"set the MTU of {name} to {mtu}") as route:
            route.link("set", index=_index(route, name), mtu=mtu)

    def remove_bridge(self, bridge: str) -> None:
        """Remove a bridge; its ports stay, without a bridge."""
        with _netlink(f"remove bridge {bridge}") as route:
            route.link("del", index=_index(route, bridge))


def ports_of(links: dict[str, Link], bridge: str) -> tuple[str, ...]:
    """Names of the links that are in `bridge`, sorted."""
    return tuple(sorted(link.name for link in links.values() if link.master == bridge))


def uplinks_of(links: dict[str, Link], bridge: str) -> tuple[str, ...]:
    """The ports of `bridge` that lead out of the host: not a guest's."""
    return tuple(name for name in ports_of(links, bridge) if can_be_uplink(links[name]))


def can_be_uplink(link: Link) -> bool:
    """Whether a link is of a kind that leads out of the host: hardware, bond, VLAN, one end of a veth pair."""
    return not link.loopback and link.kind not in _NO_UPLINK


def objection_to_uplink(links: dict[str, Link], nic: str, bridge: str) -> str | None:
    """Why `nic` must not become a port of `bridge`: it is missing, the host's own, or somebody else's. None if it may."""
    link = links.get(nic)
    if link is None:
        return f"there is no NIC {nic}; this host has {_names(links)}"
    if not can_be_uplink(link):
        return f"{nic} is {f'a {link.kind}' if link.kind else 'the loopback link'} and leads nowhere"
    if link.master not in (None, bridge):
        return f"{nic} is a port of {link.master}"
    if link.addresses:
        return (
            f"{nic} carries the host's own address {link.addresses[0]}; a network here would cut the host off"
        )
    for other in links.values():
        if other.lower == nic:
            return f"{nic} carries {other.name} ({other.kind})"
    return None


def _names(links: dict[str, Link]) -> str:
    return ", ".join(sorted(name for name, link in links.items() if can_be_uplink(link))) or "none"


def _link(message: Any, names: dict[int, str], addresses: dict[int, tuple[str, ...]]) -> Link:
    kind = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or ""
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=kind,
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & _IFF_UP),
        loopback=bool(message["flags"] & _IFF_LOOPBACK),
        master=names.get(message.get_attr("IFLA_MASTER")),
        alias=message.get_attr("IFLA_IFALIAS") or "",
        lower=names.get(message.get_attr("IFLA_LINK")) if kind in _STACKED else None,
        addresses=addresses.get(message["index"], ()),
    )


def _own_addresses(route: Any) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    for message in route.get_addr():
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if text and not ip_address(text).is_link_local:
            found.setdefault(message["index"], []).append(text)
    return {index: tuple(sorted(texts)) for index, texts in found.items()}


def _index(route: Any, name: str) -> int:
    found = route.link_lookup(ifname=name)
    if not found:
        raise DriverError(f"there is no network link {name}", "observe and plan anew")
    return int(found[0])


def _keep_addresses_off(name: str) -> None:
    """A guest network must not reach the host: no IPv6 address makes itself there. Kernels without IPv6 have no file."""
    setting = _IPV6_SETTINGS / name / "disable_ipv6"
    if not setting.exists():
        return
    try:
        setting.write_text("1")
    except OSError as error:
        raise DriverError(
            f"cannot keep IPv6 addresses off {name}: {error.strerror}", f"let ostler-agent write {setting}"
        ) from error


@contextmanager
def _netlink(wish: str) -> Iterator[Any]:
    try:
        with IPRoute() as route:
            yield route
    except NetlinkError as error:
        raise DriverError(f"cannot {wish}: {error.args[-1]}", "see the kernel's log on this host") from error
    except OSError as error:
        raise DriverError(f"cannot {wish}: {error.strerror}", "run ostler-agent as root") from error
