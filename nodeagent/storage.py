"""Storage domains of this host: connected by order, mounted again after a restart, watched for their health.

`Host.storage` is the one registry; operations take directories and volume paths from it, facts its states. What it
answers comes from memory: storage that hangs delays nobody who only asks.
"""

import os
import re
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock, RLock

from nodeagent.drivers.mounts import (
    LOOK_LIMIT_MS,
    MOUNT_LIMIT_MS,
    UNMOUNT_LIMIT_MS,
    MountError,
    is_mounted,
    is_same_directory,
    mount_file_system,
    objection_to_mount,
    unmount_file_system,
)
from nodeagent.errors import DriverError
from nodeagent.formats.domainlayout import ISO_IMAGE
from nodeagent.formats.files import PASSABLE_MODE, open_directory
from nodeagent.operations.contract import HostPaths, OperationError
from nodeagent.storagefile import ConnectedDomain, read_storage_file, write_storage_file
from nodeagent.storagehealth import Health, Watch, describe_health, look_at_domain
from nodeagent.wire.arguments import StorageConnection
from nodeagent.wire.facts import StorageDomainFacts
from nodeagent.wire.types import UUID_PATTERN

CHECK_PERIOD_S = 10.0
_UUID = re.compile(UUID_PATTERN)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,254}", re.ASCII)


class StorageError(DriverError):
    """A storage domain is not connected, does not answer, or is not the one that it should be."""


class StorageDomains:
    """Safe to use from several threads. check_period_s: seconds between two looks at a domain, none of which takes
    more than three times look_limit_ms.
    """

    def __init__(
        self,
        paths: HostPaths,
        check_period_s: float = CHECK_PERIOD_S,
        look_limit_ms: int = LOOK_LIMIT_MS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mounts = Path(os.path.realpath(paths.mounts))
        self._file = paths.state / "storage.json"
        self._period_s = check_period_s
        self._look_limit_ms = look_limit_ms
        self._clock = clock
        self._lock = RLock()
        self._mounting: defaultdict[str, Lock] = defaultdict(Lock)
        self._domains = read_storage_file(self._file)
        self._health: dict[str, Health] = {}
        self._watches: dict[str, Watch] = {}
        self._listeners: list[Callable[[], None]] = []
        self._started = False

    def start(self) -> None:
        """Mount again what was connected, and watch it, each domain in a thread of its own."""
        with self._lock:
            self._started = True
            for uuid in self._domains:
                self._begin_watch(uuid)

    def close(self) -> None:
        """Watch no more; mounts stay, for guests use them."""
        with self._lock:
            self._started = False
            for uuid in tuple(self._watches):
                self._end_watch(uuid)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the state of a domain has changed; it must return quickly."""
        self._listeners.append(listener)

    def connected(self) -> dict[str, ConnectedDomain]:
        """The domains that orders have connected, by uuid, whether they answer or not."""
        with self._lock:
            return dict(self._domains)

    def facts(self) -> tuple[StorageDomainFacts, ...]:
        """The connected domains as they were last seen, by uuid; touches no storage."""
        return tuple(self._facts(uuid) for uuid in sorted(self.connected()))

    def place(self, uuid: str) -> Path:
        """The directory of a connected domain. Raises StorageError."""
        domain = self.connected().get(uuid)
        if domain is None:
            raise StorageError(
                f"storage domain {uuid} is not connected to this host", "connect the storage domain first"
            )
        return self._root(uuid, domain.connection) / uuid

    def answering_place(self, uuid: str) -> Path:
        """As `place`, of a domain that answered when it was last looked at. Raises StorageError if it did not."""
        place, facts = self.place(uuid), self._facts(uuid)
        if facts.state != "active":
            raise StorageError(
                f"storage domain {uuid} is {facts.state}: {facts.problem}",
                "see to the storage and its network",
            )
        return place

    def directories(self) -> dict[str, Path]:
        """The directories of all connected domains, by uuid."""
        return {uuid: self._root(uuid, domain.connection) / uuid for uuid, domain in self.connected().items()}

    def local_directories(self) -> dict[str, Path]:
        """As `directories`, of the domains that lie on this host alone."""
        local = {uuid for uuid, domain in self.connected().items() if domain.connection.type == "localfs"}
        return {uuid: place for uuid, place in self.directories().items() if uuid in local}

    def volume_path(self, uuid: str, image: str, volume: str) -> Path:
        """The file of a volume that exists, no link anywhere below the domain. Raises StorageError."""
        if not (_UUID.fullmatch(image) and _UUID.fullmatch(volume)):
            raise StorageError(f"`{image}/{volume}` does not name a volume")
        return _confined(self.place(uuid), "images", image, volume)

    def iso_path(self, uuid: str, file: str) -> Path:
        """The file of an ISO image that exists, no link anywhere below the domain. Raises StorageError."""
        if not _FILE.fullmatch(file):
            raise StorageError(f"`{file}` does not name an ISO file")
        return _confined(self.place(uuid), "images", ISO_IMAGE, file)

    def record_copy(self, master: str, copy_domain: str | None, *, required: bool) -> Path | None:
        """Where the second copy of a VM's record lies; None if it has none, or lies on the master itself.

        Raises StorageError if it is required and its domain is not connected; else that is None as well.
        """
        if copy_domain is None or copy_domain == master:
            return None
        if not required and copy_domain not in self.connected():
            return None
        return self.place(copy_domain)

    @contextmanager
    def borrowed_root(self, uuid: str, connection: StorageConnection, limit_ms: int) -> Iterator[Path]:
        """The directory that holds (or will hold) a domain's own, mounted for the block if it was not.

        Raises OperationError.
        """
        with self._mounting[uuid]:
            mounted_here = self._mount(uuid, connection, limit_ms)
            try:
                yield self._root(uuid, connection)
            finally:
                if mounted_here:
                    self._unmount(uuid, connection)

    def connect(self, domain: ConnectedDomain, limit_ms: int = MOUNT_LIMIT_MS) -> None:
        """Mount a domain, make sure that it is the one wanted, keep it connected. Raises OperationError."""
        uuid = domain.uuid
        with self._mounting[uuid]:
            mounted_here = self._mount(uuid, domain.connection, limit_ms)
            try:
                health = self._look_at(domain)
                if health.problem:
                    raise StorageError(
                        f"storage domain {uuid} cannot be connected: {health.problem}",
                        "check the path of the storage domain",
                    )
                self._keep(uuid, domain)
            except OperationError:
                if mounted_here:
                    self._unmount(uuid, domain.connection)
                raise
            with self._lock:
                self._health[uuid] = health
                self._begin_watch(uuid)

    def disconnect(self, uuid: str) -> None:
        """Unmount a domain and forget it; nothing to do if it is not connected. Raises OperationError.

        The caller has made sure that no guest uses it.
        """
        domain = self.connected().get(uuid)
        if domain is None:
            return
        with self._mounting[uuid]:
            self._end_watch(uuid)
            try:
                self._unmount(uuid, domain.connection)
                self._keep(uuid, None)
            except OperationError:
                self._begin_watch(uuid)
                raise
            with self._lock:
                self._health.pop(uuid, None)

    def _root(self, uuid: str, connection: StorageConnection) -> Path:
        return Path(connection.path) if connection.type == "localfs" else self._mounts / uuid

    def _mount(self, uuid: str, connection: StorageConnection, limit_ms: int) -> bool:
        """Whether the root had to be mounted just now. Raises OperationError."""
        root = self._root(uuid, connection)
        if connection.type == "localfs":
            if not root.is_absolute():
                raise StorageError(f"{root} is no absolute path", "correct the path")
            if not root.is_dir():
                raise StorageError(
                    f"{root} is no directory of this host", "make the directory, or correct the path"
                )
            return False
        if is_mounted(root):
            if "bind" in connection.options.split(",") and not is_same_directory(Path(connection.path), root):
                raise MountError(f"something else than {connection.path} is mounted at {root}", "unmount it")
            return False
        objection = objection_to_mount(connection.path, connection.vfs_type, connection.options)
        if objection is not None or connection.vfs_type is None:
            raise MountError(f"{connection.path} is not mounted: {objection}", "correct the storage domain")
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._mounts.chmod(PASSABLE_MODE)
        except OSError as error:
            raise MountError(f"cannot make {root}: {error.strerror}", "free space for the agent") from error
        mount_file_system(connection.path, root, connection.vfs_type, connection.options, limit_ms)
        return True

    def _unmount(self, uuid: str, connection: StorageConnection) -> None:
        root = self._root(uuid, connection)
        if connection.type == "localfs":
            return
        if is_mounted(root):
            unmount_file_system(root, UNMOUNT_LIMIT_MS)
        with suppress(OSError):
            root.rmdir()

    def _keep(self, uuid: str, domain: ConnectedDomain | None) -> None:
        with self._lock:
            domains = {other: kept for other, kept in self._domains.items() if other != uuid}
            if domain is not None:
                domains[uuid] = domain
            write_storage_file(self._file, domains)
            self._domains = domains

    def _begin_watch(self, uuid: str) -> None:
        with self._lock:
            if self._started and uuid not in self._watches:
                self._watches[uuid] = Watch(uuid[:8], self._period_s, lambda watch: self._look(uuid, watch))

    def _end_watch(self, uuid: str) -> None:
        with self._lock:
            watch = self._watches.pop(uuid, None)
        if watch is not None:
            watch.stop()

    def _look(self, uuid: str, watch: Watch) -> None:
        domain = self.connected().get(uuid)
        if domain is None:
            return
        try:
            with self._mounting[uuid]:
                if watch.stopped:
                    return
                self._mount(uuid, domain.connection, MOUNT_LIMIT_MS)
            found = self._look_at(domain)
        except OperationError as error:
            with self._lock:
                last = self._health.get(uuid, Health(0.0))
            found = replace(last, at_s=self._clock(), problem=error.summary)
        self._take(uuid, found, watch)

    def _look_at(self, domain: ConnectedDomain) -> Health:
        place = self._root(domain.uuid, domain.connection) / domain.uuid
        at_s = self._clock()
        return look_at_domain(place, domain.uuid, domain.data_center, at_s, self._look_limit_ms)

    def _take(self, uuid: str, found: Health, watch: Watch) -> None:
        before = self._facts(uuid)
        with self._lock:
            if watch.stopped:
                return
            self._health[uuid] = found
        after = self._facts(uuid)
        if (before.state, before.problem, before.master) != (after.state, after.problem, after.master):
            for listener in tuple(self._listeners):
                listener()

    def _facts(self, uuid: str) -> StorageDomainFacts:
        with self._lock:
            health = self._health.get(uuid)
        return describe_health(uuid, health, self._clock(), self._period_s)


def _confined(place: Path, *parts: str) -> Path:
    """The path of a regular file below `place`, without any link on the way. Raises StorageError."""
    path = place.joinpath(*parts)
    try:
        with open_directory(place, *parts[:-1]) as directory:
            mode = os.stat(parts[-1], dir_fd=directory, follow_symlinks=False).st_mode
    except OSError as error:
        raise StorageError(
            f"{path} cannot be reached: {error.strerror or error}", "see to the storage"
        ) from error
    if not stat.S_ISREG(mode):
        raise StorageError(f"{path} is not a regular file", "see who put it there")
    return path
