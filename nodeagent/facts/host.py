"""What the state document says of the host itself: networks and NICs, and how long its certificate lasts."""

from pathlib import Path

from nodeagent.certificates import CertificateError, CertificatePaths, certificate_facts
from nodeagent.drivers.netlink import Link, can_be_uplink, uplinks_of
from nodeagent.wire.facts import CertificateFacts, NetworkFacts


def network_facts(links: dict[str, Link]) -> tuple[NetworkFacts, ...]:
    """Every bridge of the host, by name; a bridge has at most one uplink if an order made it."""
    return tuple(_network(links, link) for _, link in sorted(links.items()) if link.kind == "bridge")


def networks_by_bridge(links: dict[str, Link]) -> dict[str, str]:
    """Logical network of each bridge that an order made."""
    return {link.name: link.network for link in links.values() if link.network is not None}


def _network(links: dict[str, Link], bridge: Link) -> NetworkFacts:
    uplinks = uplinks_of(links, bridge.name)
    return NetworkFacts(
        bridge=bridge.name,
        network=bridge.network,
        nic=uplinks[0] if uplinks else None,
        mtu=bridge.mtu,
        up=bridge.up,
    )


def nic_names(links: dict[str, Link]) -> tuple[str, ...]:
    """Links that could be the uplink of a network, taken or not, by name."""
    return tuple(sorted(name for name, link in links.items() if can_be_uplink(link)))


class CertificateFile:
    """The host's certificate, read again only if its file has changed."""

    def __init__(self, paths: CertificatePaths) -> None:
        self._paths = paths
        self._seen: tuple[int, int] | None = None
        self._facts: CertificateFacts | None = None

    def read(self) -> CertificateFacts | None:
        """What it is and how long it lasts; None if there is none that can be read."""
        seen = _fingerprint(self._paths.certificate)
        if seen != self._seen:
            self._seen = seen
            try:
                self._facts = certificate_facts(self._paths)
            except CertificateError:
                self._facts = None
        return self._facts


def _fingerprint(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
