"""A value that may take long to find out, read without waiting for it longer than a moment.

What is known already is given at once, without a thread.

`assemble` reads capabilities so: libvirt probes QEMU when it is first asked, and facts must not wait for that.
"""

from collections.abc import Callable
from threading import Lock, Thread
from typing import Generic, TypeVar

from nodeagent.errors import DriverError
from nodeagent.operations.contract import OperationError

WAIT_S = 2.0

T = TypeVar("T")


class Prompt(Generic[T]):
    """`read` called in a thread of its own, never twice at a time. name: of what is read, for messages.

    known: the value where it need not be found out, else None; it never waits.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], T],
        wait_s: float = WAIT_S,
        known: Callable[[], T | None] = lambda: None,
    ) -> None:
        self._name = name
        self._read = read
        self._known = known
        self._wait_s = wait_s
        self._lock = Lock()
        self._thread: Thread | None = None
        self._value: T | None = None
        self._error: OperationError | None = None

    def get(self) -> T:
        """The value, if need be the last one known. Raises DriverError if it was never read, or cannot be."""
        known = self._known()
        if known is not None:
            return known
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._refresh, name=self._name, daemon=True)
                self._thread.start()
            self._thread.join(self._wait_s)
            if self._error is not None:
                raise self._error
            if self._value is None:
                raise DriverError(
                    f"{self._name}: not known yet", "wait a moment; if it lasts, see libvirtd's log"
                )
            return self._value

    def _refresh(self) -> None:
        try:
            self._value, self._error = self._read(), None
        except OperationError as error:
            self._error = error
