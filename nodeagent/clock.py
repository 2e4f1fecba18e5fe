"""The agent's clocks. Leases, deadlines and ages use the boot-time clock; the wall clock is only reported."""

import time
from pathlib import Path

from nodeagent.errors import DriverError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime_ms() -> int:
    """Milliseconds since this machine booted, suspended time included (CLOCK_BOOTTIME)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wallclock_ms() -> int:
    """Milliseconds since 1970 by the wall clock: for reports and pruning, never for safety."""
    return time.time_ns() // 1_000_000


def read_boot_id() -> str:
    """The kernel's id of this boot. Raises DriverError if the kernel does not tell it."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError as error:
        raise DriverError(f"cannot read {BOOT_ID}: {error.strerror}", "mount /proc") from error
