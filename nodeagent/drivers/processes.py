"""QEMU processes of this host by VM uuid, from /proc alone: evidence that does not depend on libvirt.

A process is looked into once, when it first appears: reading the command line of a stuck process may hang.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nodeagent.errors import DriverError
from nodeagent.wire.types import UUID_PATTERN

_STAT = re.compile(rb"^\d+ \((.*)\) (\S) (?:\S+ ){18}(\d+) ", re.DOTALL)
_UUID = re.compile(UUID_PATTERN)
LIMIT_SECONDS = 2.0


class QemuProcesses:
    """Scans one /proc. Safe to use from several threads."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._known: dict[tuple[int, int], str] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="proc-scan")

    def list_guests(self) -> dict[str, int]:
        """Process ids by VM uuid of all living QEMU processes. Raises DriverError if /proc does not answer in 2 s."""
        future = self._worker.submit(self._scan)
        try:
            return future.result(LIMIT_SECONDS)
        except TimeoutError:
            raise DriverError(
                "a process of this host hangs so that /proc cannot be read", "look for processes in state D"
            ) from None
        except OSError as error:
            raise DriverError(f"cannot read {self._proc}: {error.strerror}", "mount /proc") from error

    def _scan(self) -> dict[str, int]:
        known: dict[tuple[int, int], str] = {}
        guests: dict[str, int] = {}
        for entry in self._proc.iterdir():
            if not entry.name.isdigit():
                continue
            key = _identity(entry)
            if key is None:
                continue
            guest = self._known[key] if key in self._known else _guest_of(entry)
            if guest is None:
                continue  # its arguments may not be in place yet: look again next time
            known[key] = guest
            if guest:
                guests[guest] = key[0]
        self._known = known
        return guests


def _identity(entry: Path) -> tuple[int, int] | None:
    """(pid, start time) of a living QEMU process; None for every other process."""
    try:
        match = _STAT.match((entry / "stat").read_bytes())
    except OSError:
        return None  # it ended meanwhile
    if match is None or not match[1].startswith(b"qemu") or match[2] in b"ZX":
        return None
    return int(entry.name), int(match[3])


def _guest_of(entry: Path) -> str | None:
    """The VM's uuid; empty for a QEMU that is no VM, None if the process does not show its arguments."""
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if words == [b""]:
        return None
    for index, word in enumerate(words[:-1]):
        if word == b"-uuid":
            uuid = words[index + 1].decode("ascii", "replace").lower()
            return uuid if _UUID.match(uuid) else ""
    return ""
