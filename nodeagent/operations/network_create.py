"""create-network: the bridge of a logical network, with its uplink. Repeating it is harmless."""

import contextlib
from typing import Any

from nodeagent.errors import DriverError
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.networks import difference, ensure, keep, objection_to
from nodeagent.wire.arguments import CreateNetwork


def _run(host: Host, wanted: CreateNetwork, _control: Control) -> dict[str, Any]:
    existed = wanted.bridge in host.links.read()
    keep(host, wanted)
    try:
        ensure(host, wanted)
    except DriverError:
        if not existed:
            with contextlib.suppress(DriverError):  # the first fault is the one to tell
                host.links.remove_bridge(wanted.bridge)
            host.settings.forget_network(wanted.bridge)
        raise
    return {}


OPERATION: Operation[CreateNetwork] = Operation(
    kind="create-network",
    check=objection_to,
    run=_run,
    verify=difference,
    recover=lambda host, wanted, _control: difference(host, wanted) is None,
    locks=lambda _wanted: ("networks",),
)
