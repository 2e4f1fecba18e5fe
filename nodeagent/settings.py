"""What a controller has decided about this host and the host must know by itself after a restart.

Kept in one JSON file, replaced durably with every change. Operations read and change it through `Host.settings`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from nodeagent.durable import replace_file
from nodeagent.errors import DriverError
from nodeagent.wire.codec import ContractError, decode_strict, encode
from nodeagent.wire.types import Count, LinkName, ObjectId, Uuid


@dataclass(frozen=True, slots=True)
class NetworkSetting:
    """A bridge that an order made, so that it can be made again after the host has booted."""

    network: ObjectId
    bridge: LinkName
    mtu: Count
    nic: LinkName | None = None


@dataclass(frozen=True, slots=True)
class SettingsDocument:
    """The file's content. host_id: this host's id in the storage pool, 1 to 250."""

    maintenance: bool = False
    data_center: Uuid | None = None
    host_id: Count | None = None
    networks: tuple[NetworkSetting, ...] = ()


class Settings:
    """The current document, and its durable changes. Safe to use from several threads."""

    def __init__(self, path: Path, document: SettingsDocument) -> None:
        self._path = path
        self._lock = Lock()
        self._document = document

    @classmethod
    def load(cls, path: Path) -> "Settings":
        """Read `path`, or begin with defaults if it does not exist. Raises DriverError if it cannot be read."""
        try:
            document = decode_strict(path.read_bytes(), SettingsDocument)
        except FileNotFoundError:
            document = SettingsDocument()
        except (OSError, ContractError) as error:
            raise DriverError(
                f"cannot read {path}: {error}",
                "restore the file, or remove it and let a controller resync the host",
            ) from error
        return cls(path, document)

    @property
    def maintenance(self) -> bool:
        """Whether the host is closed for starts and incoming migrations."""
        return self._document.maintenance

    @property
    def data_center(self) -> str | None:
        """Uuid of the data center that this host belongs to; None until one has claimed it."""
        return self._document.data_center

    @property
    def host_id(self) -> int | None:
        """This host's id in the storage pool; None until it has connected storage."""
        return self._document.host_id

    @property
    def networks(self) -> tuple[NetworkSetting, ...]:
        """The bridges that orders made, by bridge name."""
        return self._document.networks

    def set_maintenance(self, maintenance: bool) -> None:
        """Close or open the host. Raises DriverError if that cannot be made durable."""
        with self._lock:
            self._store(replace(self._document, maintenance=maintenance))

    def set_data_center(self, data_center: str) -> None:
        """Bind the host to a data center. Raises DriverError if that cannot be made durable."""
        with self._lock:
            self._store(replace(self._document, data_center=data_center))

    def set_host_id(self, host_id: int | None) -> None:
        """Keep, or give up, the id in the storage pool. Raises DriverError if that cannot be made durable."""
        with self._lock:
            self._store(replace(self._document, host_id=host_id))

    def set_network(self, setting: NetworkSetting) -> None:
        """Keep a bridge, replacing what was kept under its name. Raises DriverError as above."""
        with self._lock:
            others = [kept for kept in self._document.networks if kept.bridge != setting.bridge]
            networks = tuple(sorted((*others, setting), key=lambda kept: kept.bridge))
            self._store(replace(self._document, networks=networks))

    def forget_network(self, bridge: str) -> None:
        """Forget a bridge. Raises DriverError as above."""
        with self._lock:
            networks = tuple(kept for kept in self._document.networks if kept.bridge != bridge)
            self._store(replace(self._document, networks=networks))

    def _store(self, document: SettingsDocument) -> None:
        if document != self._document:
            replace_file(self._path, encode(document))
            self._document = document
