"""What the three network operations share: whose a bridge is, and bringing one to its configuration."""

from nodeagent.drivers.netlink import Link, objection_to_uplink, ports_of, uplinks_of
from nodeagent.errors import DriverError
from nodeagent.host import Host
from nodeagent.settings import NetworkSetting, Settings
from nodeagent.wire.arguments import CreateNetwork, UpdateNetwork


def owned(host: Host, link: Link, network: str) -> bool:
    """Whether `link` is the bridge that an order made for `network`.

    One that settings name and that has no alias yet is ours too: the agent ended between making and marking it.
    """
    if link.network is not None:
        return link.network == network
    return link.kind == "bridge" and not link.alias and _kept(host.settings, link.name) == network


def _kept(settings: Settings, bridge: str) -> str | None:
    return next((kept.network for kept in settings.networks if kept.bridge == bridge), None)


def objection_to(host: Host, wanted: CreateNetwork | UpdateNetwork) -> str | None:
    """Why a network cannot be brought to `wanted` on this host, None if it can."""
    links = host.links.read()
    link = links.get(wanted.bridge)
    if link is not None and not owned(host, link, wanted.network):
        owner = f"the bridge of {link.network}" if link.network else "somebody else's"
        return f"{wanted.bridge} is {owner} on this host; give the network another bridge name"
    return objection_to_uplink(links, wanted.nic, wanted.bridge) if wanted.nic else None


def configure(host: Host, wanted: CreateNetwork | UpdateNetwork) -> None:
    """Bring the bridge, which exists and is ours, to MTU and uplink; guests stay plugged in. Raises DriverError."""
    driver = host.links
    links = driver.read()
    for port in uplinks_of(links, wanted.bridge):
        if port != wanted.nic:
            driver.unplug(port)
    if wanted.nic is not None:
        grow = links[wanted.bridge].mtu < wanted.mtu
        if grow:
            driver.set_mtu(wanted.nic, wanted.mtu)
        if links[wanted.nic].master != wanted.bridge or not links[wanted.nic].up:
            driver.plug(wanted.nic, wanted.bridge)
    driver.set_mtu(wanted.bridge, wanted.mtu)
    if wanted.nic is not None and links[wanted.nic].mtu != wanted.mtu:
        driver.set_mtu(wanted.nic, wanted.mtu)


def difference(host: Host, wanted: CreateNetwork | UpdateNetwork) -> str | None:
    """How the bridge differs from `wanted`, None if it is as wanted."""
    links = host.links.read()
    link = links.get(wanted.bridge)
    if link is None or link.network != wanted.network:
        return f"bridge {wanted.bridge} is not there for {wanted.network}"
    uplinks = uplinks_of(links, wanted.bridge)
    if uplinks != ((wanted.nic,) if wanted.nic else ()):
        return f"the uplink of {wanted.bridge} is {', '.join(uplinks) or 'none'}, not {wanted.nic or 'none'}"
    if link.mtu != wanted.mtu:
        return f"the MTU of {wanted.bridge} is {link.mtu}, not {wanted.mtu}"
    return None if link.up else f"bridge {wanted.bridge} is down"


def keep(host: Host, wanted: CreateNetwork | UpdateNetwork) -> None:
    """Remember the network, so that the agent makes it again when the host has booted. Raises DriverError."""
    host.settings.set_network(NetworkSetting(wanted.network, wanted.bridge, wanted.mtu, wanted.nic))


def guests_in(links: dict[str, Link], bridge: str) -> tuple[str, ...]:
    """The ports of a bridge that are not uplinks: guests' cards."""
    uplinks = uplinks_of(links, bridge)
    return tuple(port for port in ports_of(links, bridge) if port not in uplinks)


def ensure(host: Host, wanted: CreateNetwork | UpdateNetwork) -> None:
    """Make the bridge if it is missing, and bring it to `wanted`. Raises DriverError."""
    link = host.links.read().get(wanted.bridge)
    if link is None:
        host.links.create_bridge(wanted.bridge, wanted.network)
    elif link.network is None or not link.up:
        host.links.mark_bridge(wanted.bridge, wanted.network)
    configure(host, wanted)


def restore_networks(host: Host) -> tuple[str, ...]:
    """Make the kept networks again after a boot; returns what could not be done, a text for each."""
    faults = []
    for kept in host.settings.networks:
        wanted = CreateNetwork(kept.network, kept.bridge, kept.mtu, kept.nic)
        try:
            fault = objection_to(host, wanted)
            if fault is None:
                ensure(host, wanted)
        except DriverError as error:
            fault = error.summary
        if fault is not None:
            faults.append(f"{kept.network} is not restored: {fault}")
    return tuple(faults)
