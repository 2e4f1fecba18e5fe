"""One order through its operation: run and verify, or after a restart recover. Turns what happens into a result.

The engine calls these on a worker's thread; they never raise.
"""

import logging
import time
from collections.abc import Callable

from nodeagent.drivers.libvirt_errors import NotAnsweringError
from nodeagent.host import Host
from nodeagent.openorder import OpenOrder
from nodeagent.operations.contract import OperationError
from nodeagent.wire.orders import OrderResult

PATIENCE_S = 30.0
LOOK_AGAIN_S = 0.5
_LATE = "what was asked of the guest may still take effect"
_LOOK = "observe this object; revoke the order to settle it"

_log = logging.getLogger(__name__)


def carry_out(host: Host, opened: OpenOrder) -> OrderResult:
    """Act and read back. failed: the effect is known not to be whole; unknown: it cannot be told."""
    return _guarded(opened, lambda: _act(host, opened))


def recover(host: Host, opened: OpenOrder) -> OrderResult:
    """Find out, without acting anew, what became of an order that an earlier life of the agent had begun."""
    return _guarded(opened, lambda: _look_after(host, opened))


def _act(host: Host, opened: OpenOrder) -> OrderResult:
    key, control, operation = opened.order.key, opened.control, opened.operation
    if control.cancelled():
        return OrderResult(
            key, "failed", "its time was over before it was begun", "nothing was done; plan anew"
        )
    try:
        outputs = operation.run(host, opened.arguments, control)
    except NotAnsweringError as error:
        return OrderResult(key, "unknown", f"{error.summary}; {_LATE}", error.action)
    except OperationError as error:
        return OrderResult(key, "failed" if error.settled else "unknown", error.summary, error.action)
    try:
        difference = operation.verify(host, opened.arguments)
    except OperationError as error:
        summary = f"done, but it could not be read back: {error.summary}"
        return OrderResult(key, "unknown", summary, error.action or _LOOK, outputs=outputs)
    if difference is not None:
        return OrderResult(key, "failed", f"done, but {difference}", "observe and plan anew", outputs=outputs)
    return OrderResult(key, "succeeded", outputs=outputs)


def _look_after(host: Host, opened: OpenOrder) -> OrderResult:
    key = opened.order.key
    patience_ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = opened.operation.recover(host, opened.arguments, opened.control)
            break
        except OperationError as error:
            # libvirtd and storage may need a while to come up beside the agent
            if time.monotonic() < patience_ends and not opened.control.cancelled():
                time.sleep(LOOK_AGAIN_S)
                continue
            summary = f"the agent was restarted in the middle, and looking failed: {error.summary}"
            return OrderResult(key, "unknown", summary, error.action or _LOOK)
    if found is None:
        return OrderResult(key, "unknown", "the agent was restarted in the middle", _LOOK)
    if found:
        return OrderResult(key, "succeeded", "found done after a restart of the agent")
    return OrderResult(key, "failed", "found not done after a restart of the agent", "plan anew")


def _guarded(opened: OpenOrder, act: Callable[[], OrderResult]) -> OrderResult:
    """The one place where an error that nobody foresaw ends: logged, and the order's outcome is unknown."""
    try:
        return act()
    except Exception:  # noqa: BLE001 - a bug in an operation must not leave its order without a result
        _log.exception("order %s (%s) met a fault in the agent", opened.order.key, opened.order.kind)
        return OrderResult(
            opened.order.key,
            "unknown",
            "a fault in ostler-agent; its log has the details",
            f"{_LOOK}; report the fault",
        )
