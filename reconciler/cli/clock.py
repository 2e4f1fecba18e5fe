"""This machine's wall clock: it decides what is due for purge, and is compared with those of the hosts."""

from time import time_ns


def wallclock_ms() -> int:
    """Milliseconds since 1970."""
    return time_ns() // 1_000_000
