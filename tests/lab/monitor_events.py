"""What QEMU itself says of guests while something is done to them: its monitor's events, heard on every host of a lab.

Uptimes and boot ids tell that a guest was restarted; a halt of a moment, or a reset that the guest hides, is told by
these alone.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from reconciler.lab.inside import host_environment, host_init
from tests.lab.apply_estate import Estate, wait_for

QUIT = "QUIT"
"""libvirt ends the QEMU process, of a guest that has ended or was moved; QEMU itself calls that SHUTDOWN as well."""
FELT = frozenset(
    {"STOP", "RESUME", "RESET", "SHUTDOWN", "POWERDOWN", "SUSPEND", "SUSPEND_DISK", "GUEST_PANICKED"}
)
"""Events of a guest that stands still, ends, or begins anew."""
LINE = re.compile(r"event (?P<name>[A-Z_]+) for domain '?(?P<domain>[0-9a-f-]{36})'?(?P<rest>.*)")
LISTEN = "stdbuf -oL virsh qemu-monitor-event --loop --timestamp & read _; kill $!; wait"
"""Until its input ends: a process in a namespace of its own does not end with the one that entered it."""
ATTEMPTS = 10
HEARD_S = 3.0

Felt = dict[str, list[str]]
"""Events in their order, by host; hosts on which the guest felt nothing are left out."""


class Listener:
    """One host's events, written to a file as they come."""

    def __init__(self, estate: Estate, host: str) -> None:
        init = host_init(estate.lab, host)
        assert init is not None, f"{host} is off"
        enter = [
            "nsenter",
            f"--target={init.pid}",
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--wd=/",
            "--",
        ]
        self._path: Path = estate.directory / f"events-{host}.log"
        self._file: IO[bytes] = self._path.open("wb")
        self._process = subprocess.Popen(
            [*enter, "sh", "-c", LISTEN],
            env=host_environment(),
            stdin=subprocess.PIPE,
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    def events(self, uuid: str) -> list[str]:
        """What was heard of one guest so far."""
        found = (LINE.search(line) for line in self._path.read_text(errors="replace").splitlines())
        mine = (one for one in found if one and one["domain"] == uuid and one["name"] in FELT)
        return [QUIT if "host-signal" in one["rest"] else one["name"] for one in mine]

    def hears(self, uuid: str, number: int) -> bool:
        """Whether so many events of a guest, the last of them its going on, have come before long."""

        def arrived() -> bool:
            found = self.events(uuid)
            return len(found) >= number and found[-2:] == ["STOP", "RESUME"]

        try:
            return wait_for(arrived, "a mark", HEARD_S)
        except AssertionError:
            return False

    def close(self) -> None:
        """Listens no more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._file.close()


class GuestEvents:
    """Events of guests on all hosts. To know that nothing is still on its way, the guest is halted for a moment: all
    that comes before this mark was felt, and a listener that would miss a halt is found out."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._listeners = {host.name: Listener(estate, host.name) for host in estate.lab.hosts}
        self._read: dict[tuple[str, str], int] = {}

    def felt(self, vm: str) -> Felt:
        """What a running guest felt since it was asked last."""
        uuid = self._estate.uuid(vm)
        home = self._estate.home_of(vm)
        marked = self._mark(uuid, home)
        found = {host: one.events(uuid) for host, one in self._listeners.items()}
        new = {host: names[self._read.get((host, uuid), 0) :] for host, names in found.items()}
        self._read |= {(host, uuid): len(names) for host, names in found.items()}
        new[home] = new[home][: max(0, len(new[home]) - marked)]
        return {host: names for host, names in new.items() if names}

    def ended(self, vm: str, host: str) -> list[str]:
        """What a guest that ends on a host felt last, once its end was heard."""
        uuid = self._estate.uuid(vm)
        since = self._read.get((host, uuid), 0)
        ends = {"SHUTDOWN", QUIT}
        wait_for(lambda: ends & {*self._listeners[host].events(uuid)[since:]}, f"the end of {vm}")
        return self._listeners[host].events(uuid)[since:]

    def _mark(self, uuid: str, host: str) -> int:
        """Halts a guest until that was heard; how many events the marks themselves are."""
        listener = self._listeners[host]
        for attempt in range(1, ATTEMPTS + 1):
            wanted = len(listener.events(uuid)) + 2
            self._estate.virsh(host, "suspend", uuid)
            self._estate.virsh(host, "resume", uuid)
            if listener.hears(uuid, wanted):
                return 2 * attempt
        raise AssertionError(f"{host} tells nothing of {uuid}")

    def close(self) -> None:
        """Listens no more."""
        for one in self._listeners.values():
            one.close()


@contextmanager
def listening(estate: Estate, *vms: str) -> Iterator[GuestEvents]:
    """Listens to all guests for the time of a block; those named run now, and what they felt before does not count."""
    events = GuestEvents(estate)
    try:
        for vm in vms:
            events.felt(vm)
        yield events
    finally:
        events.close()
