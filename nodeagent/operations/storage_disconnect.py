"""disconnect-storage-domain: unmounts a domain that no guest of this host uses. The host keeps its host id."""

from typing import Any

from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.disk_guests import files_in_use
from nodeagent.wire.arguments import DisconnectStorageDomain


def _objection(host: Host, arguments: DisconnectStorageDomain) -> str | None:
    place = host.storage.directories().get(arguments.uuid)
    if place is None:
        return None
    used = sorted(path for path in files_in_use(host) if path.is_relative_to(place))
    return f"guests of this host use it: {used[0]}" if used else None


def _run(host: Host, arguments: DisconnectStorageDomain, _control: Control) -> dict[str, Any]:
    objection = _objection(host, arguments)
    if objection is not None:
        raise OperationError(objection, "stop or move these guests first")
    host.storage.disconnect(arguments.uuid)
    return {}


def _verify(host: Host, arguments: DisconnectStorageDomain) -> str | None:
    return "it is still connected" if arguments.uuid in host.storage.connected() else None


OPERATION: Operation[DisconnectStorageDomain] = Operation(
    kind="disconnect-storage-domain",
    check=_objection,
    run=_run,
    verify=_verify,
    recover=lambda host, arguments, _control: _verify(host, arguments) is None,
    locks=lambda arguments: (f"storage/{arguments.uuid}",),
)
