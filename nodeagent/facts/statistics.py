"""One-minute means of the last ten minutes, for placement and balancing: CPU and memory of host and guests.

A thread samples every 15 s; the service hands the document out. Nothing safe ever depends on it.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock, Thread

from nodeagent.drivers.libvirt import Hypervisor
from nodeagent.drivers.libvirt_values import GuestSample
from nodeagent.errors import DriverError
from nodeagent.wire.facts import GuestStatistics, HostStatistics

LOG = logging.getLogger(__name__)

PERIOD_S = 15.0
"""As VDSM samples (facts: vm stats and host every 15 s)."""
MINUTE_S = 60.0
MINUTES = 10
KIB = 1024


@dataclass(frozen=True, slots=True)
class HostSample:
    """Counters of the host at one moment: CPU ticks in all and idle, memory and swap in bytes."""

    at: float
    ticks: int
    idle_ticks: int
    memory_free_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int
    guests: tuple[GuestSample, ...] = ()


def read_host_sample(proc: Path, at: float, guests: tuple[GuestSample, ...] = ()) -> HostSample:
    """/proc/stat and /proc/meminfo as a sample. Raises OSError, ValueError or KeyError if the kernel shows others."""
    first = (proc / "stat").read_text(encoding="ascii").partition("\n")[0].split()
    ticks = [int(word) for word in first[1:9]]  # guest time is within user time already
    lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
    memory = {
        name: int(rest.split()[0]) * KIB for name, _colon, rest in (line.partition(":") for line in lines)
    }
    return HostSample(
        at=at,
        ticks=sum(ticks),
        idle_ticks=ticks[3] + ticks[4],
        memory_free_bytes=memory["MemAvailable"],
        swap_total_bytes=memory["SwapTotal"],
        swap_free_bytes=memory["SwapFree"],
        guests=guests,
    )


def count_process_ticks(proc: Path) -> int:
    """CPU ticks of all processes seen in /proc and of the children that they have reaped (proc(5): fields 14 to 17)."""
    total = 0
    for stat in proc.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15])
        except (OSError, ValueError):  # it ended while it was looked at
            continue
    return total


class History:
    """Samples of the last ten minutes, and their means. Not safe for several threads."""

    def __init__(self) -> None:
        self._samples: deque[HostSample] = deque()

    def add(self, sample: HostSample) -> None:
        """Take a sample, and drop those that are too old for any mean."""
        self._samples.append(sample)
        while sample.at - self._samples[0].at > (MINUTES + 1) * MINUTE_S:
            self._samples.popleft()

    def document(self, host_uuid: str, boot_id: str) -> HostStatistics:
        """The statistics; minutes without two samples end each series."""
        minutes = self._minutes()
        newest = self._samples[-1] if self._samples else None
        return HostStatistics(
            host_uuid=host_uuid,
            boot_id=boot_id,
            cpu_percent=tuple(_host_cpu(minute) for minute in minutes),
            memory_free_bytes=tuple(
                _mean([sample.memory_free_bytes for sample in minute]) for minute in minutes
            ),
            swap_total_bytes=newest.swap_total_bytes if newest else 0,
            swap_free_bytes=tuple(_mean([sample.swap_free_bytes for sample in minute]) for minute in minutes),
            guests=tuple(
                _guest_statistics(guest.uuid, minutes) for guest in (newest.guests if newest else ())
            ),
        )

    def _minutes(self) -> list[list[HostSample]]:
        """Samples by minute before the newest one, newest minute first; neighbours share their border sample."""
        if not self._samples:
            return []
        end = self._samples[-1].at
        minutes = []
        for number in range(MINUTES):
            newest, oldest = end - number * MINUTE_S, end - (number + 1) * MINUTE_S
            # half a period of tolerance: sampling is never exactly on time
            inside = [s for s in self._samples if oldest - PERIOD_S / 2 <= s.at <= newest]
            if len(inside) < 2:
                break
            minutes.append(inside)
        return minutes


def _host_cpu(minute: list[HostSample]) -> int:
    first, last = minute[0], minute[-1]
    ticks = last.ticks - first.ticks
    busy = ticks - (last.idle_ticks - first.idle_ticks)
    return max(0, min(100, round(100 * busy / ticks))) if ticks > 0 else 0


def _guest_statistics(uuid: str, minutes: list[list[HostSample]]) -> GuestStatistics:
    cpu: list[int] = []
    balloon: list[int] = []
    for minute in minutes:
        seen = [(s.at, guest) for s in minute for guest in s.guests if guest.uuid == uuid]
        if len(seen) < 2:
            break
        (began, first), (ended, last) = seen[0], seen[-1]
        cpu.append(max(0, round((last.cpu_ns - first.cpu_ns) / ((ended - began) * 1e7))))
        balloon.append(_mean([guest.balloon_bytes for _at, guest in seen]))
    return GuestStatistics(uuid, tuple(cpu), tuple(balloon))


def _mean(values: list[int]) -> int:
    return sum(values) // len(values)


class Statistics:
    """Samples in the background. after_sample: called after each sample, for what else is due now and then."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        host_uuid: str,
        boot_id: str,
        proc: Path = Path("/proc"),
        after_sample: Callable[[], None] = lambda: None,
        *,
        own_processes_only: bool = False,
    ) -> None:
        self._hypervisor = hypervisor
        self._host_uuid = host_uuid
        self._boot_id = boot_id
        self._proc = proc
        self._after_sample = after_sample
        self._own_processes_only = own_processes_only
        self._history = History()
        self._lock = Lock()
        self._stopping = Event()

    def start(self) -> None:
        """Sample every 15 s from now on."""
        Thread(target=self._run, name="statistics", daemon=True).start()

    def stop(self) -> None:
        """Sample no more."""
        self._stopping.set()

    def document(self) -> HostStatistics:
        """The statistics as of the newest sample."""
        with self._lock:
            return self._history.document(self._host_uuid, self._boot_id)

    def sample(self) -> None:
        """Take one sample now. Without libvirt the host's own figures go on. Raises DriverError without /proc."""
        try:
            guests = self._hypervisor.sample_guests()
        except DriverError as error:
            LOG.debug("no figures of guests: %s", error)
            guests = ()
        try:
            taken = read_host_sample(self._proc, time.monotonic(), guests)
            if self._own_processes_only:
                taken = replace(taken, idle_ticks=taken.ticks - count_process_ticks(self._proc))
        except (OSError, ValueError, KeyError) as error:
            raise DriverError(
                f"cannot read CPU and memory from {self._proc}: {error}", "mount /proc"
            ) from error
        with self._lock:
            self._history.add(taken)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.sample()
                self._after_sample()
            except DriverError as error:
                LOG.warning("%s", error)
            self._stopping.wait(PERIOD_S)
