"""An order between its arrival and its result, in memory, and the Control that its operation sees."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from nodeagent.ledger import Ledger, LedgerError
from nodeagent.operations.contract import Operation, OperationError
from nodeagent.wire.arguments import Arguments
from nodeagent.wire.orders import Evidence, Order, OrderResult, OrderState, Progress, Refusal


class OrderControl:
    """What `operations.contract.Control` asks for, over one order and the ledger."""

    def __init__(self, order: Order, ledger: Ledger, clock: Callable[[], int]) -> None:
        self.key = order.key
        self.evidence: Evidence | None = order.evidence
        self.secrets = dict(order.secrets)
        self.secret_digests = dict(order.secret_digests)
        self.progress: Progress | None = None
        self._ledger = ledger
        self._clock = clock
        self._end_ms = clock() + order.timeout_ms
        self._cancel = Event()

    def cancel(self) -> None:
        """Ask the operation to stop and clean up."""
        self._cancel.set()

    def cancelled(self) -> bool:
        """Whether somebody asked it to stop, or its time is over."""
        return self._cancel.is_set() or self.remaining_ms() == 0

    def remaining_ms(self) -> int:
        """Milliseconds until the order's timeout, never negative."""
        return max(0, self._end_ms - self._clock())

    def report(self, progress: Progress) -> None:
        """Show `progress` to whoever follows the order."""
        self.progress = progress

    def note(self, key: str, value: Any) -> None:
        """Keep a fact durably. Raises OperationError if the ledger cannot."""
        try:
            self._ledger.note(self.key, key, value)
        except LedgerError as error:
            raise OperationError(
                f"the ledger cannot be written: {error}", "free space on the host", settled=False
            ) from error

    def noted(self) -> dict[str, Any]:
        """What `note` has kept. Raises OperationError if the ledger cannot be read."""
        try:
            return self._ledger.notes(self.key)
        except LedgerError as error:
            raise OperationError(f"the ledger cannot be read: {error}", settled=False) from error


@dataclass(slots=True, eq=False)
class OpenOrder:
    """Guarded by the engine's lock, but for its events.

    decided: taken or refused. begun: a worker has it; until then it can be withdrawn. done: `result` is durable.
    """

    order: Order
    operation: Operation[Any]
    arguments: Arguments
    control: OrderControl
    decided: Event = field(default_factory=Event)
    done: Event = field(default_factory=Event)
    begun: bool = False
    refusal: Refusal | None = None
    result: OrderResult | None = None

    @property
    def locks(self) -> tuple[str, ...]:
        """Names that its operation must hold alone."""
        return (self.order.object, *self.operation.locks(self.arguments))

    def answer(self) -> OrderResult:
        """The result, or how far it is."""
        if self.result is not None:
            return self.result
        state: OrderState = "running" if self.begun else "accepted"
        return OrderResult(self.order.key, state, progress=self.control.progress)
