"""Waiting for a guest's balloon for as long as it moves: a guest that has nothing to give does not hold its order up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

BALLOON_STALL_MS = 15_000
"""A guest under load lets go in bursts, some seconds apart; one that was not heard for so long has stopped."""

Ending = Literal["reached", "stalled", "over"]


@dataclass(slots=True)
class Approach:
    """Whether something still comes nearer to its goal. stall_ms: so long without coming nearer is a standstill."""

    stall_ms: int
    _nearest: int | None = None
    _since_ms: int = 0

    def stands_still(self, distance: int, now_ms: int) -> bool:
        """At `distance` from the goal now; now_ms: monotonic."""
        if self._nearest is None or distance < self._nearest:
            self._nearest, self._since_ms = distance, now_ms
        return now_ms - self._since_ms >= self.stall_ms


def follow(
    distance: Callable[[], int],
    approach: Approach,
    now_ms: Callable[[], int],
    wait_until: Callable[[Callable[[], bool]], bool],
) -> Ending:
    """How the way to distance 0 ended. wait_until: asks again and again until it hears yes, or time is over."""
    left: list[int] = []

    def ended() -> bool:
        left[:] = [distance()]
        return left == [0] or approach.stands_still(left[0], now_ms())

    if not wait_until(ended):
        return "over"
    return "reached" if left == [0] else "stalled"
