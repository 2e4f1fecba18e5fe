"""Which storage domains this host is to have connected: one JSON file, replaced durably with every change."""

from dataclasses import dataclass
from pathlib import Path

from nodeagent.durable import replace_file
from nodeagent.errors import DriverError
from nodeagent.wire.arguments import StorageConnection
from nodeagent.wire.codec import ContractError, decode_strict, encode
from nodeagent.wire.types import Count, Uuid
from nodeagent.wire.version import CURRENT, Format


@dataclass(frozen=True, slots=True)
class ConnectedDomain:
    """A storage domain that an order has connected; host_id: of this host in the pool."""

    uuid: Uuid
    data_center: Uuid
    connection: StorageConnection
    host_id: Count


@dataclass(frozen=True, slots=True)
class StorageDocument:
    """The file's content."""

    domains: tuple[ConnectedDomain, ...] = ()
    format: Format = CURRENT


def read_storage_file(path: Path) -> dict[str, ConnectedDomain]:
    """Connected domains by uuid; none if there is no file yet. Raises DriverError if it cannot be read."""
    try:
        document = decode_strict(path.read_bytes(), StorageDocument)
    except FileNotFoundError:
        return {}
    except (OSError, ContractError) as error:
        raise DriverError(
            f"cannot read {path}: {error}", "restore the file, or remove it and connect the storage again"
        ) from error
    return {domain.uuid: domain for domain in document.domains}


def write_storage_file(path: Path, domains: dict[str, ConnectedDomain]) -> None:
    """Make the connected domains durable. Raises DriverError."""
    ordered = tuple(domains[uuid] for uuid in sorted(domains))
    replace_file(path, encode(StorageDocument(ordered)))
