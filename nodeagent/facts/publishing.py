"""State documents as they follow each other: collected in a background thread, numbered when their content changes.

The engine promises generations to its results, the service hands out the last document and waits for the next.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Condition, Thread

from nodeagent.clock import boottime_ms
from nodeagent.ledger import Ledger, LedgerError
from nodeagent.operations.contract import OperationError
from nodeagent.wire.facts import CheckFacts, GuestFacts, HostState, MigrationFacts

PERIOD_MS = 3_000
POKE_MS = 200
REST_S = 0.5
"""After a collection as long a rest as it took, at most this: many orders that end at once share the next one."""
STALE_MS = 15_000
BLOCK = 10_000
COARSE_BYTES = 256 * 1024 * 1024
_FACT = "generations"

_STALE = CheckFacts(
    "error", "facts", "the host's facts could not be collected for a while", "see the log of ostler-agent"
)
_log = logging.getLogger(__name__)


class Generations:
    """Numbers that never repeat in the life of a ledger: blocks of them are reserved durably."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.first = int(ledger.fact(_FACT, "0")) + 1
        self._reserved = 0
        self.reserve(self.first)

    def reserve(self, generation: int) -> None:
        """Make sure that a later life of the agent begins above `generation`, half a block ahead. Raises LedgerError."""
        if generation + BLOCK // 2 >= self._reserved:
            self._ledger.keep_facts({_FACT: str(generation + BLOCK)})
            self._reserved = generation + BLOCK


@dataclass(slots=True)
class _Turn:
    """One collection: its number, and the least generation of what it publishes."""

    number: int = 0
    floor: int = 0
    running: bool = False


class Publisher:
    """The current state document. Safe to use from several threads.

    collect: a whole HostState, its generation and clock fields without meaning; bounded in time by its collectors.
    """

    def __init__(
        self,
        collect: Callable[[], HostState],
        generations: Generations,
        clock: Callable[[], int] = boottime_ms,
    ) -> None:
        self._collect = collect
        self._generations = generations
        self._clock = clock
        self._changed = Condition()
        self._state: HostState | None = None
        self._generation = generations.first - 1
        self._floor = generations.first
        self._turn = _Turn()
        self._ended = self._sound = 0
        self._collected_ms = clock()
        self._began_s = self._rested_s = 0.0
        self._urgent = self._poked = self._stopping = False

    def start(self) -> None:
        """Collect in the background from now on."""
        Thread(target=self._run, name="facts", daemon=True).start()

    def stop(self) -> None:
        """Collect no more, and wake everybody who waits."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    @property
    def stopping(self) -> bool:
        """Whether the agent is about to end."""
        return self._stopping

    def state(self) -> HostState | None:
        """The last document; None before the first. One that is too old says that it proves nothing."""
        with self._changed:
            if self._state is not None and self._clock() - self._collected_ms > STALE_MS:
                self._put(degraded(self._state), self._floor)
            return self._state

    def promise(self) -> int:
        """The generation of the first document that is sure to show what is the case now."""
        with self._changed:
            following = self._generation + 1
            if self._turn.running:
                following = max(following, self._turn.floor) + 1
            self._floor = max(self._floor, following)
            return self._floor

    def poke(self) -> None:
        """Something may have changed: collect soon, once for many pokes."""
        with self._changed:
            self._poked = True
            self._changed.notify_all()

    def refresh(self, timeout_s: float) -> bool:
        """Wait for a collection that began after this call; False if it failed or did not end in time."""
        with self._changed:
            wanted = self._turn.number + 1
            self._urgent = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopping or self._ended >= wanted, timeout_s)
            return self._sound >= wanted

    @property
    def behind(self) -> bool:
        """Whether results were promised more than the current document shows."""
        return self._generation < self._floor

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until the current document shows all that was promised to results; False if it took too long.

        Orders are answered at once, and whoever reads facts after an answer sees what the order did.
        """
        promised = self._floor
        return not self.behind or (self.refresh(timeout_s) and self._generation >= promised)

    def wait_beyond(self, generation: int, timeout_s: float) -> int:
        """The current generation, once it is not `generation` any more, or after timeout_s."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._generation != generation, timeout_s)
            return self._generation

    def _run(self) -> None:
        while self._await_turn():
            collected: HostState | None = None
            try:
                collected = self._collect()
            except (OperationError, LedgerError) as error:
                _log.warning("the facts could not be collected: %s", error)
            except Exception:  # noqa: BLE001 - facts must go on, and say that they prove nothing
                _log.exception("the facts could not be collected")
            self._end_turn(collected)

    def _await_turn(self) -> bool:
        """Wait until a collection is due, and begin it; False when the agent stops."""
        with self._changed:
            while not self._stopping:
                waited = self._clock() - self._collected_ms
                rest_s = self._rested_s - time.monotonic()
                if self._urgent and rest_s <= 0:
                    break
                due = POKE_MS if self._poked else PERIOD_MS
                if self._state is None or (waited >= due and rest_s <= 0):
                    break
                self._changed.wait(rest_s if self._urgent else max(rest_s, (due - waited) / 1000))
            self._urgent = self._poked = False
            self._turn = _Turn(self._turn.number + 1, self._floor, running=True)
            self._began_s = time.monotonic()
            return not self._stopping

    def _end_turn(self, collected: HostState | None) -> None:
        with self._changed:
            former = self._state
            if collected is not None:
                self._sound = self._turn.number
            if collected is None and former is not None:
                collected = degraded(former)
            if collected is not None:
                self._put(collected, self._turn.floor)
            self._collected_ms = self._clock()
            now = time.monotonic()
            self._rested_s = now + min(REST_S, now - self._began_s)
            self._turn.running = False
            self._ended = self._turn.number
            self._changed.notify_all()

    def _put(self, state: HostState, floor: int) -> None:
        """Make `state` the current document, with a new number if its content or a promise asks for one."""
        if self._state is None or content(state) != content(self._state) or self._generation < floor:
            following = max(self._generation + 1, floor)
            try:
                self._generations.reserve(following)
            except LedgerError as error:
                _log.error("generations cannot be reserved: %s", error)
            self._generation = following
        self._state = replace(state, generation=self._generation)
        self._changed.notify_all()


def content(state: HostState) -> HostState:
    """A document without what time alone changes, and with sizes rounded: what its generation stands for."""
    return replace(
        state,
        generation=0,
        boottime_ms=0,
        wallclock_ms=0,
        lease=replace(state.lease, remaining_ms=0),
        storage=tuple(
            replace(domain, free_bytes=domain.free_bytes // COARSE_BYTES) for domain in state.storage
        ),
        guests=tuple(_without_progress(guest) for guest in state.guests),
    )


def _without_progress(guest: GuestFacts) -> GuestFacts:
    if guest.migration is None:
        return guest
    return replace(guest, migration=MigrationFacts(guest.migration.destination, 0, 0, 0))


def degraded(state: HostState) -> HostState:
    """A document that can no longer be relied on: it does not claim to know every guest."""
    checks = state.checks if _STALE in state.checks else (*state.checks, _STALE)
    return replace(state, guests_complete=False, checks=checks)
