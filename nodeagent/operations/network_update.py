"""update-network: another MTU or uplink for a bridge that create-network made; guests stay plugged in."""

from typing import Any

from nodeagent.errors import DriverError
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.networks import difference, ensure, keep, objection_to
from nodeagent.wire.arguments import UpdateNetwork


def _check(host: Host, wanted: UpdateNetwork) -> str | None:
    if wanted.bridge not in host.links.read():
        return f"there is no bridge {wanted.bridge} to update"
    return objection_to(host, wanted)


def _run(host: Host, wanted: UpdateNetwork, _control: Control) -> dict[str, Any]:
    former = next((kept for kept in host.settings.networks if kept.bridge == wanted.bridge), None)
    keep(host, wanted)
    try:
        ensure(host, wanted)
    except DriverError:
        if former is not None:
            host.settings.set_network(former)
        raise
    return {}


OPERATION: Operation[UpdateNetwork] = Operation(
    kind="update-network",
    check=_check,
    run=_run,
    verify=difference,
    recover=lambda host, wanted, _control: difference(host, wanted) is None,
    locks=lambda _wanted: ("networks",),
)
