"""A few threads that carry out orders, and the named locks that keep two of them off one thing."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Condition, Thread


class Workers:
    """Daemon threads: a call that hangs in a driver never keeps the agent from ending."""

    def __init__(self, count: int) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for number in range(count):
            Thread(target=self._work, name=f"order-{number}", daemon=True).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job`, which must not raise, on the next free thread."""
        self._queue.put(job)

    def _work(self) -> None:
        while True:
            self._queue.get()()


class LockTable:
    """Locks by name. All names of a holder are taken at once, so two holders never wait for each other."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._changed = Condition()

    @contextmanager
    def held(self, names: Iterable[str], timeout_s: float) -> Iterator[bool]:
        """Hold all `names`; yields False, holding none, if they were not free within timeout_s."""
        wanted = set(names)
        with self._changed:
            taken = self._changed.wait_for(lambda: not wanted & self._held, max(0.0, timeout_s))
            if taken:
                self._held |= wanted
        try:
            yield taken
        finally:
            if taken:
                with self._changed:
                    self._held -= wanted
                    self._changed.notify_all()
