"""remove-network: takes away a bridge that create-network made, and frees its uplink."""

from typing import Any

from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.networks import guests_in, owned
from nodeagent.wire.arguments import RemoveNetwork


def _check(host: Host, unwanted: RemoveNetwork) -> str | None:
    links = host.links.read()
    link = links.get(unwanted.bridge)
    if link is None:
        return None
    if not owned(host, link, unwanted.network):
        return f"{unwanted.bridge} was not made for {unwanted.network}; it is left alone"
    guests = guests_in(links, unwanted.bridge)
    return f"guests are plugged into {unwanted.bridge}: {', '.join(guests)}" if guests else None


def _run(host: Host, unwanted: RemoveNetwork, _control: Control) -> dict[str, Any]:
    host.settings.forget_network(unwanted.bridge)
    if unwanted.bridge in host.links.read():
        host.links.remove_bridge(unwanted.bridge)
    return {}


def _verify(host: Host, unwanted: RemoveNetwork) -> str | None:
    return f"bridge {unwanted.bridge} is still there" if unwanted.bridge in host.links.read() else None


OPERATION: Operation[RemoveNetwork] = Operation(
    kind="remove-network",
    check=_check,
    run=_run,
    verify=_verify,
    recover=lambda host, unwanted, _control: _verify(host, unwanted) is None,
    locks=lambda _unwanted: ("networks",),
)
