"""Waiting for a balloon: on while it moves, at an end once it stands still."""

from collections.abc import Callable

import pytest

from nodeagent.operations.vm_balloon import Approach, follow


def watch(distances: list[int], stall_ms: int = 3, limit_ms: int = 100) -> tuple[str, int]:
    """How it ended, and after how many ms; a look each ms, the last distance for ever."""
    clock = [-1]

    def wait_until(ended: Callable[[], bool]) -> bool:
        while clock[0] < limit_ms:
            clock[0] += 1
            if ended():
                return True
        return False

    def distance() -> int:
        return distances[min(clock[0], len(distances) - 1)]

    return follow(distance, Approach(stall_ms), lambda: clock[0], wait_until), clock[0]


@pytest.mark.parametrize(
    ("distances", "ending"),
    [
        ([5, 4, 0], ("reached", 2)),
        ([5, 5, 5, 5], ("stalled", 3)),
        ([9, 9, 8, 8, 7, 7, 6, 6, 0], ("reached", 8)),
        ([9, 8, 9, 8, 9, 8], ("stalled", 4)),
        (list(range(300, 0, -1)), ("over", 100)),
        ([0], ("reached", 0)),
    ],
    ids=["reached", "stands", "slow", "to and fro", "longer than there is time", "there already"],
)
def test_a_balloon_is_waited_for_while_it_comes_nearer(distances: list[int], ending: tuple[str, int]):
    assert watch(distances) == ending
