"""Guests that QEMU halted because their storage had no space left go on once the space came back.

QEMU halts a guest whose write finds no space and repeats that write when it goes on, so nothing is lost by waiting.
Only the guest's own host can tell; `strays` has every guest looked at. A guest that halts again soon is tried ever
more rarely.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from nodeagent.formats.vmrecords import read_vm_record
from nodeagent.host import Host
from nodeagent.operations.contract import OperationError
from nodeagent.wire.facts import GuestFacts, StorageDomainFacts
from nodeagent.wire.records import VmRecord

LOG = logging.getLogger(__name__)

NO_SPACE = "io-error"
ENOUGH_BYTES = 128 * 2**20
"""Free on a storage domain for each guest that goes on: with less it would halt again at once."""
SHORTEST_WAIT_S = 20.0
LONGEST_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often in a row a guest was let go on, and when last, in seconds of the clock."""

    number: int
    at_s: float


def is_halted(guest: GuestFacts) -> bool:
    """Whether QEMU halted a guest of ours for want of space."""
    return guest.managed and guest.state == "paused" and guest.pause_reason == NO_SPACE


def may_go_on(guest: GuestFacts, record: VmRecord | None, host: str) -> bool:
    """Whether its record says that it runs here and nowhere else, and that nobody wants it paused. host: our uuid."""
    run = record.run if record is not None and not record.removed else None
    if record is None or run is None or run.closed is not None or guest.config is None:
        return False
    alone = [runner.uuid for runner in run.hosts] == [host] and run.number == guest.config.run
    return alone and not any(one.action == "pause" and not one.done for one in record.intents)


def lacks_space(guest: GuestFacts, free: dict[str, int]) -> tuple[str, ...]:
    """Storage domains of its disks that have too little space, or do not answer. free: bytes by domain."""
    disks = guest.config.disks if guest.config is not None else ()
    domains = sorted({disk.storage_domain for disk in disks if not disk.read_only})
    return tuple(uuid for uuid in domains if free.get(uuid, 0) < ENOUGH_BYTES)


def wait_s(attempts: int) -> float:
    """Seconds after so many attempts until the next one: 20 after the first, twice as many after each, at most 600."""
    return min(LONGEST_WAIT_S, SHORTEST_WAIT_S * 2.0 ** min(attempts - 1, 10)) if attempts else 0.0


class Resuming:
    """Called by one thread. storage: the domains as they were last seen; clock: monotonic seconds."""

    def __init__(
        self,
        host: Host,
        storage: Callable[[], Iterable[StorageDomainFacts]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._storage = storage
        self._clock = clock
        self._attempts: dict[str, Attempts] = {}
        self._waiting: set[str] = set()

    def look(self, guests: Iterable[GuestFacts], master: Path | None) -> None:
        """Let every halted guest go on that may, and for which there is space. master: where the records are."""
        halted = {guest.uuid: guest for guest in guests if is_halted(guest)}
        self._forget(halted)
        if not halted or master is None:
            return
        free = {one.uuid: one.free_bytes for one in self._storage() if one.state == "active"}
        for vm, guest in sorted(halted.items()):
            if self._is_due(vm) and not self._waits(guest, free):
                self._resume(guest, master, free)

    def _forget(self, halted: dict[str, GuestFacts]) -> None:
        """What halted no more for as long as the longest wait begins anew."""
        now_s = self._clock()
        self._waiting &= halted.keys()
        self._attempts = {
            vm: one
            for vm, one in self._attempts.items()
            if vm in halted or now_s - one.at_s < 2 * LONGEST_WAIT_S
        }

    def _is_due(self, vm: str) -> bool:
        tried = self._attempts.get(vm)
        return tried is None or self._clock() - tried.at_s >= wait_s(tried.number)

    def _waits(self, guest: GuestFacts, free: dict[str, int]) -> bool:
        """Whether there is no space yet; told once."""
        lacking = lacks_space(guest, free)
        if lacking and guest.uuid not in self._waiting:
            LOG.warning(
                "guest %s stands still, its storage is full: it goes on once storage domain %s has %d MiB free",
                guest.uuid, " and ".join(lacking), ENOUGH_BYTES // 2**20,
            )  # fmt: skip
            self._waiting.add(guest.uuid)
        return bool(lacking)

    def _resume(self, guest: GuestFacts, master: Path, free: dict[str, int]) -> None:
        vm = guest.uuid
        try:
            if vm in self._host.hypervisor.migrations:
                return
            if not may_go_on(guest, read_vm_record(master, vm), self._host.uuid):
                return
            if self._host.hypervisor.guest_state(vm) != ("paused", NO_SPACE):
                return
            self._count(vm)
            self._host.hypervisor.resume(vm)
        except OperationError as error:
            LOG.warning("guest %s stands still and could not go on: %s", vm, error.summary)
            return
        LOG.warning("guest %s goes on: its storage has space again", vm)
        for disk in guest.config.disks if guest.config is not None else ():
            free[disk.storage_domain] = free.get(disk.storage_domain, 0) - ENOUGH_BYTES

    def _count(self, vm: str) -> None:
        before = self._attempts.get(vm)
        self._attempts[vm] = Attempts(before.number + 1 if before else 1, self._clock())
