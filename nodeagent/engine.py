"""The life of an order: admitted, made durable, carried out once, verified, its result durable, answered.

The service calls `submit`, `follow` and `revoke` from any thread. Nothing is ever done twice for one key: what was
begun before a crash is only looked at afterwards (`Operation.recover`).
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Lock
from typing import Any, Protocol

from nodeagent.admission import Look, read_arguments, refuse_evidence, refuse_late, refuse_unmet
from nodeagent.carrying import carry_out, recover
from nodeagent.clock import boottime_ms
from nodeagent.epoch import Tenure
from nodeagent.errors import RefusedError
from nodeagent.host import Host
from nodeagent.ledger import Entry, Ledger, LedgerError
from nodeagent.openorder import OpenOrder, OrderControl
from nodeagent.operations.contract import Operation, OperationError
from nodeagent.wire.arguments import Arguments
from nodeagent.wire.orders import Order, OrderResult, Progress, Refusal, Revocation
from nodeagent.workers import LockTable, Workers

SHORT_ORDER_S = 1.0
RECORD_AGAIN_S = 2.0

EXCLUDES = {
    "set-maintenance": frozenset({"start-vm", "reboot-vm"}),
    "start-vm": frozenset({"set-maintenance"}),
    "reboot-vm": frozenset({"set-maintenance"}),
}
"""Kinds that are not taken while one of the others is open, whatever its object."""

_log = logging.getLogger(__name__)


class FactsClock(Protocol):
    """The state document, as far as results need it."""

    def promise(self) -> int:
        """The generation of the first document that shows what is the case now."""
        ...

    def poke(self) -> None:
        """Something has changed: collect soon."""
        ...


class Engine:
    """All orders of this agent. `look` answers what admission asks, for the arguments of one order."""

    def __init__(
        self,
        host: Host,
        ledger: Ledger,
        tenure: Tenure,
        operations: Mapping[str, Operation[Any]],
        facts: FactsClock,
        look: Callable[[Arguments], Look],
        threads: int = 8,
        clock: Callable[[], int] = boottime_ms,
    ) -> None:
        self._host = host
        self._ledger = ledger
        self._tenure = tenure
        self._operations = operations
        self._facts = facts
        self._look = look
        self._clock = clock
        self._lock = Lock()
        self._open: dict[str, OpenOrder] = {}
        self._locks = LockTable()
        self._workers = Workers(threads)
        self._stopping = Event()

    def start(self) -> None:
        """Look after the orders that an earlier life of the agent left open. Raises LedgerError."""
        for entry in self._ledger.open_entries():
            assert entry.order is not None
            self._resume(entry.order)

    def stop(self, timeout_s: float) -> None:
        """Take no more orders, and wait for open ones at most timeout_s; the rest is settled by the next start."""
        self._stopping.set()
        for opened in list(self._open.values()):
            opened.done.wait(timeout_s)
            if not opened.done.is_set():
                _log.warning("order %s goes on without the agent", opened.order.key)
                break

    def submit(self, order: Order) -> OrderResult:
        """Take an order; answers its result if that is there within a second, else how far it is.

        A known key gets its first result. Raises RefusedError, and then nothing was or will be done.
        """
        arguments = read_arguments(order, self._operations)
        self._tenure.refuse_data_center(order.data_center)
        with _durably():
            known = self._claim(order, arguments)
        if isinstance(known, Entry):
            return known.result
        opened, mine = known
        if mine:
            self._admit(opened)
        opened.decided.wait()
        if opened.refusal is not None:
            raise RefusedError(opened.refusal.reason, opened.refusal.summary, opened.refusal.action)
        opened.done.wait(SHORT_ORDER_S)
        return opened.answer()

    def follow(self, key: str, wait_ms: int) -> OrderResult | None:
        """The result of a key, waited for at most wait_ms, or how far it is; None for a key never taken."""
        opened = self._open.get(key)
        if opened is not None and opened.decided.is_set() and opened.refusal is None:
            opened.done.wait(wait_ms / 1000)
            return opened.answer()
        with _durably():
            entry = self._ledger.find(key)
        return entry.result if entry else None

    def revoke(self, revocation: Revocation) -> OrderResult:
        """See that a key never takes effect from now on, and tell what became of it. Raises RefusedError.

        revoked: it has not had and will not have an effect that is not seen in the facts by now. running: it could
        not be withdrawn; with `cancel` it was asked to stop. succeeded, failed: it had ended before.
        """
        self._tenure.refuse(revocation.holder, revocation.epoch)
        opened = self._open.get(revocation.key)
        if opened is not None:
            opened.decided.wait()
        with self._lock, _durably():
            opened = self._open.get(revocation.key)
            if opened is not None and opened.begun:
                if revocation.cancel:
                    opened.control.cancel()
                return opened.answer()
            return self._withdraw(revocation.key, opened)

    def _withdraw(self, key: str, opened: OpenOrder | None) -> OrderResult:
        entry = self._ledger.find(key)
        if entry is not None and entry.result.state in ("succeeded", "failed", "revoked"):
            return entry.result
        former = entry.result.summary if entry else ""
        result = OrderResult(key, "revoked", f"revoked; before: {former}" if former else "revoked")
        self._ledger.revoke(key, result.summary)
        if opened is not None:
            self._close(opened, result)
        return result

    def _claim(self, order: Order, arguments: Arguments) -> Entry | tuple[OpenOrder, bool]:
        """The entry of a key that has ended, or its open order and whether the caller has just opened it."""
        with self._lock:
            opened = self._open.get(order.key)
            if opened is not None:
                _refuse_other_digest(order, opened.order.digest)
                return opened, False
            entry = self._ledger.find(order.key)
            if entry is not None and entry.order is None:
                raise RefusedError(
                    "revoked", f"{order.key} was revoked before it came", "observe and plan anew"
                )
            if entry is not None:
                _refuse_other_digest(order, entry.digest)
                return entry
            self._refuse_busy(order)
            return self._register(order, arguments), True

    def _register(self, order: Order, arguments: Arguments) -> OpenOrder:
        control = OrderControl(order, self._ledger, self._clock)
        opened = OpenOrder(order, self._operations[order.kind], arguments, control)
        self._open[order.key] = opened
        return opened

    def _refuse_busy(self, order: Order) -> None:
        if self._stopping.is_set():
            raise RefusedError("busy", "the agent is stopping", "send the order again when it is back")
        for other in self._open.values():
            excluded = other.order.kind in EXCLUDES.get(order.kind, ())
            if other.order.object == order.object or excluded:
                raise RefusedError(
                    "busy",
                    f"{other.order.kind} of {other.order.object} is open here ({other.order.key})",
                    "wait for its result",
                )

    def _admit(self, opened: OpenOrder) -> None:
        """Take a claimed order durably and hand it to a worker, or refuse it and give up the claim."""
        order = opened.order
        opened.refusal = Refusal("invalid", "the agent could not judge this order; its log says why")
        try:
            with _durably():
                self._refuse(opened)
                with self._tenure.holding(order.holder, order.epoch):
                    self._ledger.accept(order)
            opened.refusal = None
        except RefusedError as error:
            opened.refusal = error.refusal
            _log.info("refused %s (%s): %s", order.key, error.refusal.reason, error.refusal.summary)
            raise
        finally:
            if opened.refusal is not None:
                with self._lock:
                    del self._open[order.key]
            opened.decided.set()
        _log.info("accepted %s (%s of %s)", order.key, order.kind, order.object)
        self._facts.poke()
        self._workers.submit(lambda: self._work(opened, carry_out))

    def _refuse(self, opened: OpenOrder) -> None:
        """Everything that may speak against an order, cheapest first. Raises RefusedError, LedgerError."""
        order, arguments = opened.order, opened.arguments
        self._tenure.refuse_ledger(order.ledger_id)
        if self._tenure.resync_needed:
            raise RefusedError(
                "resync-needed",
                "this agent's ledger is new",
                "a controller has to settle what runs here and resync",
            )
        self._tenure.refuse(order.holder, order.epoch)
        refuse_late(order, self._host.boot_id, self._clock())
        look = self._look(arguments)
        refuse_unmet(order.expects, look)
        refuse_evidence(order, arguments, self._host.uuid, look)
        try:
            objection = opened.operation.check(self._host, arguments)
        except OperationError as error:
            raise RefusedError("invalid", error.summary, error.action) from error
        if objection is not None:
            raise RefusedError("invalid", objection)

    def _resume(self, order: Order) -> None:
        """Open an order of an earlier life again, to find out what became of it."""
        try:
            opened = self._register(order, read_arguments(order, self._operations))
        except RefusedError as error:
            summary = f"begun by another version of the agent: {error.refusal.summary}"
            self._ledger.finish(OrderResult(order.key, "unknown", summary))
            return
        opened.decided.set()
        _log.info("settling %s (%s of %s) after a restart", order.key, order.kind, order.object)
        self._workers.submit(lambda: self._work(opened, recover))

    def _work(self, opened: OpenOrder, act: Callable[[Host, OpenOrder], OrderResult]) -> None:
        """Carry out or settle one order on a worker's thread; never raises."""
        with self._lock:
            if opened.result is not None:
                return  # withdrawn while it waited for a thread
            opened.begun = True
        with self._locks.held(opened.locks, opened.control.remaining_ms() / 1000) as taken:
            if taken:
                result = act(self._host, opened)
            else:
                result = OrderResult(
                    opened.order.key, "failed", "its time was over before other work let it begin"
                )
            result = replace(result, generation=self._facts.promise())
            recorded = self._record(opened, result)
        if recorded:
            with self._lock:
                self._close(opened, result)
            self._facts.poke()

    def _record(self, opened: OpenOrder, result: OrderResult) -> bool:
        """Make a result durable, as often as it takes; False if the agent stops first (the next start settles it)."""
        while True:
            try:
                self._ledger.finish(result)
            except LedgerError as error:
                _log.error("the result of %s (%s) cannot be recorded: %s", result.key, result.state, error)
                opened.control.report(
                    Progress("ended; waits until its result can be recorded: the disk is full")
                )
                if self._stopping.wait(RECORD_AGAIN_S):
                    return False
            else:
                _log.info("%s %s: %s", result.state, result.key, result.summary or "done")
                return True

    def _close(self, opened: OpenOrder, result: OrderResult) -> None:
        opened.result = result
        self._open.pop(opened.order.key, None)
        opened.done.set()


def _refuse_other_digest(order: Order, digest: str) -> None:
    if order.digest != digest:
        raise RefusedError("key-reused", f"{order.key} was used for another order", "observe and plan anew")


@contextmanager
def _durably() -> Iterator[None]:
    try:
        yield
    except LedgerError as error:
        raise RefusedError("not-durable", str(error), "free space on the host, or mend its disk") from error
