"""Exits of guests, kept durably until their record has them: noticed because a guest that ran here is gone.

`facts.guests` tells who runs, libvirt's events and its log of the guest tell why one stopped. The operations that
close a run, and `strays` once the record has it, make an exit forgotten.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from nodeagent.clock import boottime_ms, wallclock_ms
from nodeagent.drivers.libvirt_values import GuestEvent
from nodeagent.durable import replace_file, sync_directory
from nodeagent.errors import DriverError
from nodeagent.wire.codec import ContractError, decode_strict, encode
from nodeagent.wire.facts import DeedFacts, ExitFacts
from nodeagent.wire.records import ExitReason
from nodeagent.wire.types import Count, Milliseconds, Uuid

LOG = logging.getLogger(__name__)

LIBVIRT_LOGS = Path("/var/log/libvirt/qemu")
LOG_TAIL_BYTES = 256 * 1024
TELL_MS = 3_600_000
"""How long it is told that the agent destroyed a guest by itself."""
REASONS: dict[str, ExitReason] = {
    "shutdown": "shutdown",
    "destroyed": "destroyed",
    "crashed": "crashed",
    "failed": "crashed",
    "migrated": "migrated",
}
"""libvirt's words, in events and in its logs, for why a QEMU ended; `failed` is one that was killed."""

_LINE = re.compile(rb"shutting down, reason=(\w+)|starting up libvirt version")


@dataclass(frozen=True, slots=True)
class Life:
    """A guest that was seen running here: run number, the boot in which that was, and its clock when it was first seen."""

    vm: Uuid
    run: Count
    boot_id: Uuid
    began_ms: Milliseconds | None = None


class Exits:
    """Lives and exits of this host's guests, each a small file. Safe to use from several threads.

    A file that cannot be written is tried again with the next look; until then the exit is in memory.
    """

    def __init__(
        self,
        directory: Path,
        boot_id: str,
        logs: Path = LIBVIRT_LOGS,
        clock: Callable[[], int] = boottime_ms,
    ) -> None:
        self._directory = directory
        self._boot_id = boot_id
        self._logs = logs
        self._clock = clock
        self._lock = Lock()
        self._lives: dict[str, Life] = {}
        self._exits: dict[str, ExitFacts] = {}
        self._since: dict[str, float] = {}
        self._heard: dict[str, ExitReason] = {}
        self._deeds: dict[str, DeedFacts] = {}

    @classmethod
    def load(
        cls,
        directory: Path,
        boot_id: str,
        logs: Path = LIBVIRT_LOGS,
        clock: Callable[[], int] = boottime_ms,
    ) -> "Exits":
        """Take up what an earlier life of the agent kept in `directory`. Raises DriverError if it cannot be read."""
        exits = cls(directory, boot_id, logs, clock)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for path in sorted(directory.iterdir()):
                exits._take_up(path)
        except OSError as error:
            raise DriverError(f"cannot read {directory}: {error.strerror}", "mend the file system") from error
        return exits

    def _take_up(self, path: Path) -> None:
        try:
            if path.suffix == ".life":
                life = decode_strict(path.read_bytes(), Life)
                self._lives[life.vm] = life
            elif path.suffix == ".exit":
                exit_ = decode_strict(path.read_bytes(), ExitFacts)
                self._exits[exit_.vm] = exit_
            elif path.suffix == ".deed":
                deed = decode_strict(path.read_bytes(), DeedFacts)
                self._deeds[deed.vm] = deed
        except ContractError as error:
            LOG.warning("%s is damaged and is ignored: %s", path, error)

    def running(self, vm: str, run: int) -> None:
        """Keep that run `run` of a guest lives here. Raises DriverError if that cannot be made durable."""
        with self._lock:
            self._begin(vm, run)

    def observe(self, guests: Mapping[str, int], alive: frozenset[str], looked_at: float) -> None:
        """Take in a complete look at this host: runs of running guests of ours, and every VM that has a QEMU.

        looked_at: monotonic clock before the look; a guest that began later is not missed by it.
        """
        with self._lock:
            for vm, run in guests.items():
                life = self._lives.get(vm)
                if life is None or life.run != run:
                    self._begin_quietly(vm, run)
            for life in list(self._lives.values()):
                if life.vm not in alive and self._since.get(life.vm, 0.0) < looked_at:
                    self._end(life)

    def hear(self, event: GuestEvent) -> None:
        """Remember why a guest stopped, from libvirt's events; a signal to QEMU counts as destroyed."""
        with self._lock:
            if event.kind == "started":
                self._heard.pop(event.uuid, None)
            elif event.kind == "shutdown-begun" and event.detail == "host":
                self._heard[event.uuid] = "destroyed"
            elif event.kind == "crashed":
                self._heard[event.uuid] = "crashed"
            elif event.kind == "stopped" and event.detail == "shutdown":
                self._heard.setdefault(event.uuid, "shutdown")  # unless a signal or a crash began it
            elif event.kind == "stopped" and event.detail in REASONS:
                self._heard[event.uuid] = REASONS[event.detail]

    def pending(self) -> tuple[ExitFacts, ...]:
        """Exits that the records do not hold yet, by VM."""
        with self._lock:
            return tuple(self._exits[vm] for vm in sorted(self._exits))

    @contextmanager
    def destroying(self, vm: str, reason: str) -> Iterator[None]:
        """Keep that the agent destroys a guest by itself in the block, and why; nothing is kept where the block fails."""
        with self._lock:
            life = self._lives.get(vm)
            deed = DeedFacts(vm, life.run if life is not None else 0, reason, wallclock_ms())
            self._deeds[vm] = deed
            try:
                replace_file(self._path(vm, "deed"), encode(deed))
            except DriverError as error:
                LOG.warning("%s", error)  # the guest must not live on for that
        try:
            yield
        except DriverError:
            with self._lock:
                self._drop(vm, "deed")
                self._deeds.pop(vm, None)
            raise

    def deeds(self) -> tuple[DeedFacts, ...]:
        """Guests that the agent destroyed by itself within the last hour, the last one of each VM, by VM."""
        with self._lock:
            now_ms = wallclock_ms()
            for vm in [vm for vm, deed in self._deeds.items() if now_ms - deed.wallclock_ms >= TELL_MS]:
                self._drop(vm, "deed")
                del self._deeds[vm]
            return tuple(self._deeds[vm] for vm in sorted(self._deeds))

    def forget(self, vm: str, run: int) -> None:
        """The record has the end of this run, or it goes on elsewhere: drop what is kept of it and of earlier ones."""
        with self._lock:
            life, exit_ = self._lives.get(vm), self._exits.get(vm)
            if life is not None and life.run <= run:
                self._drop(vm, "life")
                del self._lives[vm]
            if exit_ is not None and exit_.run <= run:
                self._drop(vm, "exit")
                del self._exits[vm]
            self._heard.pop(vm, None)

    def reason(self, vm: str) -> ExitReason:
        """Why a guest that is gone stopped: as libvirt told, else from its log, else unknown."""
        with self._lock:
            return self._reason(vm)

    def _reason(self, vm: str) -> ExitReason:
        return self._heard.get(vm) or read_logged_reason(self._logs / f"{vm}.log")

    def _begin(self, vm: str, run: int) -> None:
        life = Life(vm, run, self._boot_id, self._clock())
        self._lives[vm] = life
        self._since[vm] = time.monotonic()
        replace_file(self._path(vm, "life"), encode(life))

    def _begin_quietly(self, vm: str, run: int) -> None:
        try:
            self._begin(vm, run)
        except DriverError as error:
            LOG.warning("%s", error)

    def _end(self, life: Life) -> None:
        """A life becomes an exit; after a power cut its reason is the loss of the host."""
        if life.boot_id == self._boot_id:
            now = self._clock()
            ran_ms = now - life.began_ms if life.began_ms is not None else None
            reason, deed = self._reason(life.vm), self._deeds.get(life.vm)
            ours = deed is not None and deed.run == life.run and reason == "destroyed"
            detail = deed.reason if deed is not None and ours else ""
            exit_ = ExitFacts(life.vm, life.run, reason, ran_ms, now, self._boot_id, detail)
        else:
            exit_ = ExitFacts(life.vm, life.run, "host-lost")
        reason = exit_.reason
        LOG.info("guest %s of run %d is gone: %s", life.vm, life.run, reason)
        self._exits[life.vm] = exit_
        try:
            replace_file(self._path(life.vm, "exit"), encode(exit_))
        except DriverError as error:
            LOG.warning("%s", error)
            return
        self._drop(life.vm, "life")
        del self._lives[life.vm]

    def _drop(self, vm: str, suffix: str) -> None:
        try:
            self._path(vm, suffix).unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as error:
            LOG.warning("cannot remove %s: %s", self._path(vm, suffix), error.strerror)

    def _path(self, vm: str, suffix: str) -> Path:
        return self._directory / f"{vm}.{suffix}"


def read_logged_reason(log: Path) -> ExitReason:
    """Why the last QEMU of a domain ended, by libvirt's log of it; unknown if the log does not say."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            tail = file.read()
    except OSError:
        return "unknown"
    reason: ExitReason = "unknown"
    for match in _LINE.finditer(tail):
        word = match[1]
        reason = "unknown" if word is None else REASONS.get(word.decode("ascii", "replace"), "unknown")
    return reason
