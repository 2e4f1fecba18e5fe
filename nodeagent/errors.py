"""Errors that say who must act: drivers and operations raise nothing else on purpose, the service turns them
into refusals and results.
"""

from nodeagent.operations.contract import OperationError
from nodeagent.wire.orders import Refusal, RefusalReason


class DriverError(OperationError):
    """A driver could not do what it was asked: libvirt, a program, the kernel or a file refused.

    `settled` is False if the refused call may still take effect later (it timed out, or the link to it broke).
    """


class RefusedError(Exception):
    """A request that the agent does not take, with the refusal that the caller gets. Nothing was done."""

    def __init__(self, reason: RefusalReason, summary: str, action: str = "") -> None:
        super().__init__(summary)
        self.refusal = Refusal(reason, summary, action)
