"""What the libvirt driver hands out: rows of a listing, job progress, migration requests, events.

Plain values, so that facts, operations and tests need no libvirt.
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.wire.facts import GuestState

EventKind = Literal[
    "started",
    "stopped",
    "suspended",
    "resumed",
    "shutdown-begun",
    "defined",
    "undefined",
    "crashed",
    "rebooted",
    "job-completed",
    "device-added",
    "device-removed",
    "device-removal-failed",
    "balloon",
    "agent",
    "metadata",
    "disk",
    "io-error",
    "connected",
    "disconnected",
]


@dataclass(frozen=True, slots=True)
class GuestEvent:
    """Something libvirt told about a domain. detail: why it stopped, or who shut it down (`guest`, `host`).

    device: alias of the device that came or went. `connected` and `disconnected` are about libvirtd itself.
    """

    kind: EventKind
    uuid: str = ""
    detail: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class GuestRow:
    """One domain of a listing. xml: as libvirt has it, None if it went away meanwhile. running: it has a QEMU.

    balloon_alive: the guest's own balloon driver has reported at least once.
    """

    uuid: str
    name: str
    running: bool
    state: GuestState
    pause_reason: str = ""
    persistent: bool = False
    autostart: bool = False
    balloon_alive: bool = False
    xml: str | None = None


@dataclass(frozen=True, slots=True)
class GuestSample:
    """Counters of one running domain at one moment. cpu_ns: CPU time used since its start."""

    uuid: str
    cpu_ns: int
    balloon_bytes: int


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A job of a domain. kind none: nothing runs. Bytes remaining of total; ms elapsed; MiB/s; memory iterations."""

    kind: Literal["none", "running", "completed", "failed", "cancelled"]
    operation: Literal["", "migration-in", "migration-out", "other"] = ""
    elapsed_ms: int = 0
    remaining_bytes: int = 0
    total_bytes: int = 0
    mib_per_s: int = 0
    iteration: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class MigrationRequest:
    """A live move. uri: libvirtd of the destination; data_uri: where its QEMU listens; xml: the domain there."""

    uri: str
    data_uri: str
    xml: str
    bandwidth_mib_per_s: int


MENDED_QEMU = 9
"""The first major version that notices what an emulated guest writes, through a cached translation, to a page that
was sent already."""


@dataclass(frozen=True, slots=True)
class HypervisorVersion:
    """Versions as text, `9.0.0`; empty if not known."""

    libvirt: str = ""
    qemu: str = ""

    @property
    def loses_writes(self) -> bool:
        """Whether this QEMU loses writes of emulated guests that move: before 9.0, and where it is not known."""
        major = self.qemu.partition(".")[0]
        return not major.isdecimal() or int(major) < MENDED_QEMU
