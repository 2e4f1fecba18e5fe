"""create-storage-domain: an empty version 5 domain, in an empty place. A repeat completes one that was half made."""

from pathlib import Path
from typing import Any

from nodeagent.drivers.mounts import MOUNT_LIMIT_MS, objection_to_mount
from nodeagent.formats.domainlayout import find_strangers, make_domain
from nodeagent.formats.domainmetadata import DomainMetadata, read_domain_metadata
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.wire.arguments import CreateStorageDomain


def _wanted(arguments: CreateStorageDomain) -> DomainMetadata:
    return DomainMetadata(
        uuid=arguments.uuid,
        type="LOCALFS" if arguments.connection.type == "localfs" else "POSIXFS",
        role="Master" if arguments.master else "Regular",
        description=arguments.name,
        pools=(arguments.data_center,),
        remote_path=arguments.connection.path,
    )


def _check(host: Host, arguments: CreateStorageDomain) -> str | None:
    known = host.storage.connected().get(arguments.uuid)
    if known is not None and known.connection != arguments.connection:
        return f"storage domain {arguments.uuid} is connected from {known.connection.path}"
    if arguments.connection.type == "posixfs":
        connection = arguments.connection
        return objection_to_mount(connection.path, connection.vfs_type, connection.options)
    if not arguments.connection.path.startswith("/"):
        return f"`{arguments.connection.path}` is no absolute path of a directory"
    return None


def _run(host: Host, arguments: CreateStorageDomain, control: Control) -> dict[str, Any]:
    limit_ms = min(control.remaining_ms(), MOUNT_LIMIT_MS)
    with host.storage.borrowed_root(arguments.uuid, arguments.connection, limit_ms) as root:
        if (root / arguments.uuid / "dom_md" / "metadata").exists():
            difference = _difference(root, arguments)
            if difference is not None:
                raise OperationError(
                    difference, "choose another place, or another uuid, for the storage domain"
                )
            return {}
        _refuse_strangers(root, arguments.uuid)
        make_domain(root, _wanted(arguments))
    return {}


def _refuse_strangers(root: Path, uuid: str) -> None:
    try:
        strangers = find_strangers(root, uuid)
    except OSError as error:
        raise OperationError(f"{root} cannot be read: {error.strerror}", "see to the storage") from error
    if strangers:
        raise OperationError(
            f"the place of the storage domain is not empty: {', '.join(strangers)}",
            "name an empty directory, or remove what is there if nobody needs it",
        )


def _difference(root: Path, arguments: CreateStorageDomain) -> str | None:
    """How the domain that lies there differs from the one wanted; its name and path may."""
    found, wanted = read_domain_metadata(root / arguments.uuid), _wanted(arguments)
    for label, there, want in (
        ("uuid", found.uuid, wanted.uuid),
        ("version", found.version, wanted.version),
        ("class", found.domain_class, wanted.domain_class),
        ("role", found.role, wanted.role),
        ("data center", found.pools, wanted.pools),
    ):
        if there != want:
            return f"a storage domain is there already, whose {label} is {there}, not {want}"
    return None


def _verify(host: Host, arguments: CreateStorageDomain) -> str | None:
    with host.storage.borrowed_root(arguments.uuid, arguments.connection, MOUNT_LIMIT_MS) as root:
        if not (root / arguments.uuid / "dom_md" / "metadata").exists():
            return "the storage domain has no metadata"
        return _difference(root, arguments)


OPERATION: Operation[CreateStorageDomain] = Operation(
    kind="create-storage-domain",
    check=_check,
    run=_run,
    verify=_verify,
    recover=lambda host, arguments, _control: _verify(host, arguments) is None,
    locks=lambda arguments: (f"storage/{arguments.uuid}",),
)
