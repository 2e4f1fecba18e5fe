"""Exit statuses of every command (docs/commands.md)."""

from enum import IntEnum


class Status(IntEnum):
    """0 nothing to do or achieved · 1 error · 2 steps to take · 3 blocked · 4 failed · 5 refused · 64 usage."""

    DONE = 0
    ERROR = 1
    STEPS = 2
    BLOCKED = 3
    FAILED = 4
    REFUSED = 5
    USAGE = 64
