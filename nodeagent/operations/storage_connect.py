"""connect-storage-domain: mounts an existing domain, makes sure that it is the one wanted, and keeps it connected."""

from typing import Any

from nodeagent.drivers.mounts import MOUNT_LIMIT_MS, objection_to_mount
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.storagefile import ConnectedDomain
from nodeagent.wire.arguments import ConnectStorageDomain

LARGEST_HOST_ID = 250


def _wanted(arguments: ConnectStorageDomain) -> ConnectedDomain:
    return ConnectedDomain(arguments.uuid, arguments.data_center, arguments.connection, arguments.host_id)


def _check(host: Host, arguments: ConnectStorageDomain) -> str | None:
    if not 1 <= arguments.host_id <= LARGEST_HOST_ID:
        return f"host id {arguments.host_id} is not within 1 and {LARGEST_HOST_ID}"
    connected = host.storage.connected()
    known = connected.get(arguments.uuid)
    if known is not None and known.connection != arguments.connection:
        return f"it is connected from {known.connection.path}; disconnect it first"
    others = connected.keys() - {arguments.uuid}
    if others and host.settings.host_id not in (None, arguments.host_id):
        return f"this host has connected storage with host id {host.settings.host_id}"
    if arguments.connection.type == "posixfs":
        connection = arguments.connection
        return objection_to_mount(connection.path, connection.vfs_type, connection.options)
    if not arguments.connection.path.startswith("/"):
        return f"`{arguments.connection.path}` is no absolute path of a directory"
    return None


def _run(host: Host, arguments: ConnectStorageDomain, control: Control) -> dict[str, Any]:
    host.storage.connect(_wanted(arguments), min(control.remaining_ms(), MOUNT_LIMIT_MS))
    host.settings.set_host_id(arguments.host_id)
    return {}


def _verify(host: Host, arguments: ConnectStorageDomain) -> str | None:
    if host.storage.connected().get(arguments.uuid) != _wanted(arguments):
        return "the storage domain is not connected"
    if host.settings.host_id != arguments.host_id:
        return f"the host id is {host.settings.host_id}"
    facts = next(facts for facts in host.storage.facts() if facts.uuid == arguments.uuid)
    return None if facts.state == "active" else f"the storage domain is {facts.state}: {facts.problem}"


def _recover(host: Host, arguments: ConnectStorageDomain, _control: Control) -> bool:
    """Connected counts, answering or not: its state is in the facts."""
    known = host.storage.connected().get(arguments.uuid)
    return known == _wanted(arguments) and host.settings.host_id == arguments.host_id


OPERATION: Operation[ConnectStorageDomain] = Operation(
    kind="connect-storage-domain",
    check=_check,
    run=_run,
    verify=_verify,
    recover=_recover,
    locks=lambda arguments: (f"storage/{arguments.uuid}",),
)
