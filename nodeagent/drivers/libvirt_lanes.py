"""Connections to libvirtd, each with a thread of its own, so that no call waits longer than its limit.

A call that exceeds its limit keeps its lane until libvirt gives up; others take other lanes. libvirtd serves at
most five calls of one connection at a time, so lanes do not share connections.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

import libvirt

from nodeagent.drivers.libvirt_errors import (
    HypervisorUnreachableError,
    NotAnsweringError,
    is_link_failure,
    translate,
)
from nodeagent.errors import DriverError

T = TypeVar("T")

MAXIMUM_LANES = 64
ACTION_BUSY = "look for guests whose QEMU hangs (`virsh domcontrol`) and destroy them"


class Lane:
    """One thread with one connection, opened when first needed and opened anew after it broke."""

    def __init__(self, uri: str, done: Callable[["Lane"], None]) -> None:
        self._uri = uri
        self._done = done
        self._work: SimpleQueue[tuple[Callable[[Any], Any], Future[Any]] | None] = SimpleQueue()
        self._connection: Any = None
        Thread(target=self._serve, name="libvirt-lane", daemon=True).start()

    def submit(self, work: Callable[[Any], T]) -> "Future[T]":
        """Do `work(connection)` in the lane's thread."""
        future: Future[T] = Future()
        self._work.put((work, future))
        return future

    def close(self) -> None:
        """End the thread and its connection after the current call."""
        self._work.put(None)

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            work, future = item
            self._carry_out(work, future)
            self._done(self)
        self._disconnect()

    def _carry_out(self, work: Callable[[Any], Any], future: "Future[Any]") -> None:
        try:
            if self._connection is None:
                self._connection = libvirt.open(self._uri)
            future.set_result(work(self._connection))
        except libvirt.libvirtError as error:
            if is_link_failure(error):
                self._disconnect()
            future.set_exception(error)
        except (DriverError, ValueError, KeyError, TypeError, OSError) as error:
            future.set_exception(error)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except libvirt.libvirtError:
                return  # it was broken already


class Call(Generic[T]):
    """A call under way in its lane."""

    def __init__(self, future: "Future[T]", what: str) -> None:
        self._future = future
        self._what = what

    def wait(self, limit_ms: int) -> bool:
        """Whether it has ended, waited for at most limit_ms."""
        return bool(wait([self._future], limit_ms / 1000).done)

    def result(self) -> T:
        """What it gave, once it has ended. Raises DriverError."""
        try:
            return self._future.result()
        except libvirt.libvirtError as error:
            raise translate(error, self._what) from error


class Lanes:
    """All lanes to one libvirtd. Safe to use from several threads."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = Lock()
        self._idle: list[Lane] = []
        self._count = 0
        self._closed = False
        self._stuck: dict[str, int] = {}

    def read(self, work: Callable[[Any], T], limit_ms: int, what: str, guest: str = "") -> T:
        """As `call`, for work that changes nothing: tried once more where only the connection had broken."""
        try:
            return self.call(work, limit_ms, what, guest)
        except HypervisorUnreachableError:
            return self.call(work, limit_ms, what, guest)

    def begin(self, work: Callable[[Any], T], what: str) -> Call[T]:
        """Begin `work(connection)`, which may take as long as libvirt needs. Raises DriverError if no lane is free."""
        return Call(self._take(what).submit(work), what)

    def call(self, work: Callable[[Any], T], limit_ms: int, what: str, guest: str = "") -> T:
        """Do `work(connection)` and give its result.

        guest: a further call for a guest whose last one hangs is refused at once. Raises DriverError;
        NotAnsweringError when the limit passed, or that of an earlier call.
        """
        if guest and self._stuck.get(guest):
            raise NotAnsweringError(f"cannot {what}: the guest's QEMU does not answer", ACTION_BUSY)
        future = self._take(what).submit(work)
        try:
            return future.result(limit_ms / 1000)
        except TimeoutError:
            self._remember_stuck(guest, future)
            raise NotAnsweringError(
                f"cannot {what}: no answer from libvirt within {limit_ms} ms", ACTION_BUSY
            ) from None
        except libvirt.libvirtError as error:
            raise translate(error, what) from error

    def waiting(self) -> int:
        """How many calls passed their limit and have not returned."""
        with self._lock:
            return sum(self._stuck.values())

    def close(self) -> None:
        """Close idle lanes now, busy ones when their call returns."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for lane in idle:
            lane.close()

    def _take(self, what: str) -> Lane:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._count >= MAXIMUM_LANES:
                raise DriverError(
                    f"cannot {what}: {MAXIMUM_LANES} calls to libvirt wait already", ACTION_BUSY
                )
            self._count += 1
        return Lane(self._uri, self._give_back)

    def _give_back(self, lane: Lane) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(lane)
                return
        lane.close()

    def _remember_stuck(self, guest: str, future: "Future[Any]") -> None:
        with self._lock:
            self._stuck[guest] = self._stuck.get(guest, 0) + 1
        future.add_done_callback(lambda _future: self._forget_stuck(guest))

    def _forget_stuck(self, guest: str) -> None:
        with self._lock:
            left = self._stuck.get(guest, 1) - 1
            if left:
                self._stuck[guest] = left
            else:
                self._stuck.pop(guest, None)
