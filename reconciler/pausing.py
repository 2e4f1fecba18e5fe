"""How often the loop looks, and what it waits for after failures. The keeper asks it before and after each turn."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from reconciler.execution.remembering import attempts_at, failed_objects, find_retries, pause_ms
from reconciler.loop import Turn
from reconciler.model.change import Deferred
from reconciler.model.desired import Desired
from reconciler.model.quantities import format_duration
from reconciler.store.database import StoreError
from reconciler.store.store import Store

WAIT_ALONE = ("vm/", "disk/")
"""Prefixes of objects whose failures delay nothing but their own next attempt."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Milliseconds. interval: between passes when nothing happens; calm: after something happened, because more
    follows; poll: how often manifests and intents are looked for; listen: before a broken stream is opened again."""

    interval_ms: int = 10_000
    calm_ms: int = 1_000
    poll_ms: int = 1_000
    listen_ms: int = 5_000


@dataclass(slots=True)
class Pauses:
    """What a loop waits for after failures, in the event loop's time.

    A VM or disk that failed waits by itself. Whatever else went wrong holds everything but protective work, ever
    longer: failures in a row, the manifests they happened with, and until when. blind: the store failed.
    """

    failed_at_s: dict[str, float] = field(default_factory=dict)
    failures: int = 0
    desired: Desired | None = None
    until_s: float = 0.0
    blind: bool = False

    def note(self, turn: Turn | None, desired: Desired) -> None:
        """A turn has ended; None: the store failed."""
        now_s = asyncio.get_running_loop().time()
        self.blind = turn is None
        if turn is None or holds_up(turn):
            self.failures += 1
            self.until_s, self.desired = now_s + pause_ms(self.failures) / 1000, desired
        elif now_s >= self.until_s or desired is not self.desired:
            self.failures, self.until_s = 0, 0.0
        if turn is not None and turn.outcome is not None:
            self.failed_at_s |= dict.fromkeys(failed_objects(turn.done.plan, turn.outcome), now_s)

    def failed_ms(self) -> dict[str, int]:
        """How long ago objects failed."""
        now_s = asyncio.get_running_loop().time()
        return {name: round((now_s - at_s) * 1000) for name, at_s in self.failed_at_s.items()}

    def hold(self, desired: Desired) -> Deferred | None:
        """What holds all but protective work now; new manifests end it."""
        left_ms = self._held_ms()
        if left_ms <= 0 or desired is not self.desired:
            return None
        return Deferred(
            desired.data_center.meta.id,
            "the last pass failed; until the next one only VMs that failed are started again",
            f"it comes, in {format_duration(left_ms)}",
        )

    def due_ms(self, store: Store, pace: Pace, desired: Desired) -> int:
        """How long until the next turn, if nothing happens before."""
        if self.blind:
            return max(pause_ms(self.failures), pace.calm_ms)
        with suppress(StoreError):
            retries = find_retries(attempts_at(store, desired), self.failed_ms()).values()
            soonest = [one.left_ms for one in retries] + [one for one in (self._held_ms(),) if one > 0]
            return max(pace.calm_ms, min([pace.interval_ms, *soonest]))
        return pace.interval_ms

    def _held_ms(self) -> int:
        return round((self.until_s - asyncio.get_running_loop().time()) * 1000)


def holds_up(turn: Turn) -> bool:
    """Whether what went wrong in a turn lets everything wait: its plan was refused or stopped, or it was no VM's or
    disk's own matter."""
    if turn.objections or turn.outcome is None:
        return bool(turn.objections)
    wrong = failed_objects(turn.done.plan, turn.outcome)
    stopped = bool(turn.outcome.refused or turn.outcome.interrupted)
    return stopped or any(not name.startswith(WAIT_ALONE) for name in wrong)
