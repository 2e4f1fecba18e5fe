"""What admission asks about the host, answered freshly: by libvirt and the kernel for a guest that is not here, by a
state document collected after the order came for the rest, and by records read from storage.

The engine gets one `Look` for each order; its answers are plain dictionaries with the contract's field names.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent.admission import Look, LookError
from nodeagent.facts.publishing import Publisher
from nodeagent.formats.diskrecords import read_disk_record
from nodeagent.formats.vmrecords import read_vm_record
from nodeagent.operations.contract import OperationError
from nodeagent.wire.arguments import Arguments
from nodeagent.wire.codec import to_plain
from nodeagent.wire.facts import HostState
from nodeagent.wire.types import UUID_PATTERN

COLLECT_LIMIT_S = 5.0
_UUID = re.compile(UUID_PATTERN)


@dataclass(frozen=True, slots=True)
class Sights:
    """Where looks go. place: directory of a connected storage domain; raises OperationError if it is not connected.

    is_gone: whether neither libvirt nor the kernel knows a QEMU of a VM, read now; raises OperationError. A host that
    starts many guests at once would otherwise collect everything anew before each of them.
    """

    publisher: Publisher
    place: Callable[[str], Path]
    is_gone: Callable[[str], bool]

    def look(self, arguments: Arguments) -> Look:
        """The `Look` for one order: one collection at most, made when it is first needed."""
        return _OrderLook(self, getattr(arguments, "master", None), _domain_of(arguments))


class _OrderLook:
    def __init__(self, sights: Sights, master: str | None, domain: str | None) -> None:
        self._sights = sights
        self._master = master
        self._domain = domain
        self._state: HostState | None = None
        self._topics: dict[str, Callable[[str], dict[str, Any] | None]] = {
            "guest": self._guest,
            "absence": self._absence,
            "network": lambda bridge: _find(self._fresh().networks, "bridge", bridge),
            "storage": lambda uuid: _find(self._fresh().storage, "uuid", uuid),
            "record": lambda vm: _plain(read_vm_record(self._records(), _uuid(vm))),
            "disk": lambda image: self._disk(_uuid(image)),
        }

    def __call__(self, subject: str) -> dict[str, Any] | None:
        topic, slash, name = subject.partition("/")
        try:
            if subject == "host":
                return _plain(self._fresh())
            if slash and topic in self._topics:
                return self._topics[topic](name)
        except OperationError as error:
            raise LookError(error.summary) from error
        raise LookError("this agent does not know what that is")

    def _guest(self, vm: str) -> dict[str, Any] | None:
        if self._sights.is_gone(_uuid(vm)):
            return None
        state = self._fresh()
        found = _find(state.guests, "uuid", vm)
        if found is None and not state.guests_complete:
            raise LookError("this host cannot tell which guests it runs")
        return found

    def _absence(self, vm: str) -> dict[str, Any]:
        """Whether a guest certainly does not run here: libvirt has no domain of it, and no QEMU process is its."""
        try:
            gone = self._sights.is_gone(_uuid(vm))
        except OperationError as error:
            return {"absent": False, "reason": error.summary}
        return {"absent": gone, "reason": "" if gone else "libvirt has it, or a QEMU process has its uuid"}

    def _disk(self, image: str) -> dict[str, Any] | None:
        """A disk's record: in the domain that the order names, else in whichever connected domain has it.

        It does not exist only if every one of them could be read.
        """
        domains = [self._domain] if self._domain else [one.uuid for one in self._fresh().storage]
        unread: OperationError | None = None
        for domain in domains:
            try:
                record = read_disk_record(self._sights.place(domain), image)
            except OperationError as error:
                unread = error
            else:
                if record is not None:
                    return _plain(record)
        if unread is not None:
            raise unread
        if not domains:
            raise LookError("no storage domain is connected to this host")
        return None

    def _fresh(self) -> HostState:
        if self._state is None:
            if not self._sights.publisher.refresh(COLLECT_LIMIT_S):
                raise LookError("the host's facts could not be collected")
            self._state = self._sights.publisher.state()
        if self._state is None:
            raise LookError("the host's facts could not be collected")
        return self._state

    def _records(self) -> Path:
        """The master domain's directory: the one that the order names, else the one that this host has as master."""
        master = self._master or next((d.uuid for d in self._fresh().storage if d.master), None)
        if master is None:
            raise LookError("no master storage domain is connected to this host")
        return self._sights.place(master)


def _domain_of(arguments: Arguments) -> str | None:
    """The storage domain of the disk that an order is about, None if it is about none, or about several."""
    disk = getattr(arguments, "disk", None) or getattr(arguments, "record", None)
    return getattr(arguments, "storage_domain", None) or getattr(disk, "storage_domain", None)


def _uuid(name: str) -> str:
    """`name` becomes part of a path, so it has to be a uuid."""
    if not _UUID.fullmatch(name):
        raise LookError("that is no uuid")
    return name


def _plain(value: Any) -> dict[str, Any] | None:
    plain: dict[str, Any] | None = to_plain(value)
    return plain


def _find(values: tuple[Any, ...], key: str, name: str) -> dict[str, Any] | None:
    return next((_plain(value) for value in values if getattr(value, key) == name), None)
