"""An asyncio event loop in virtual time: when everybody waits, its clock jumps to the next timer.

The simulation and the tests of execution run on it: thirty minutes of migrations take as long as their code.
Nothing on this loop may wait for the outside world (sockets, processes, threads).
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Leap(selectors.SelectSelector):
    """Instead of waiting for input, moves the clock by the time that was to be waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits and no timer is set: this would never end")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0 and moves only while every task waits."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._leap.now_s

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the loop was made."""
        return round(self._leap.now_s * 1000)


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, in virtual time. Raises RuntimeError if every task waits for ever."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
