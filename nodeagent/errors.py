"""Errors of the agent that have a person to act on them; operations and drivers raise nothing else on purpose."""

from nodeagent.operations.contract import OperationError


class DriverError(OperationError):
    """A driver could not do what it was asked: libvirt, a program, the kernel or a file refused.

    `settled` is False if the refused call may still take effect later (it timed out, or the link to it broke).
    """
