"""What a lab guest last said about itself, from the file of its serial console.

Tests and the demo read it. The guest's side is guest-init.sh.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = b"OSTLER-GUEST "
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The guest's counter on a disk: `found` at boot (None: none), `count` written last, failed turns, and
    whether someone else has written to the block while this guest ran.
    """

    found: int | None
    count: int
    errors: int
    intruder: bool


@dataclass(frozen=True, slots=True)
class GuestReport:
    """One line of a guest: `uptime_ms` since its boot, `boot` drawn at each boot, and what devices it sees.

    `cd` is the medium's label, or its size in bytes if it has none, or None if there is no medium or no drive.
    `disks` gives (bytes, read-only) by name, `nics` (carrier, operational state) by MAC.
    """

    uptime_ms: int
    boot: str
    memory_kib: int
    cpus: int
    disks: Mapping[str, tuple[int, bool]]
    nics: Mapping[str, tuple[bool, str]]
    cd: str | int | None
    rng: bool
    heartbeat: Heartbeat | None


def read_last_report(path: Path) -> GuestReport | None:
    """The newest complete line of a console log; None if there is none in its last 256 KiB or no such file."""
    reports = read_reports(path)
    return reports[-1] if reports else None


def read_reports(path: Path) -> tuple[GuestReport, ...]:
    """All complete lines in the last 256 KiB of a console log, oldest first; what is no report is passed over."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            text = log.read()
    except FileNotFoundError:
        return ()
    complete = text[: text.rfind(b"\n") + 1]
    lines = (line.partition(PREFIX)[2] for line in complete.splitlines())
    return tuple(report for line in lines if line and (report := _parse(line)))


def _parse(line: bytes) -> GuestReport | None:
    try:
        row = json.loads(line)
        return GuestReport(
            uptime_ms=round(float(row["uptime"]) * 1000),
            boot=str(row["boot"]),
            memory_kib=int(row["memoryKib"]),
            cpus=int(row["cpus"]),
            disks={name: (int(disk["bytes"]), bool(disk["ro"])) for name, disk in row["disks"].items()},
            nics={mac: (bool(nic["carrier"]), str(nic["operstate"])) for mac, nic in row["nics"].items()},
            cd=row["cd"],
            rng=bool(row["rng"]),
            heartbeat=_parse_heartbeat(row.get("heartbeat")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):  # half a line, or the kernel spoke into it
        return None


def _parse_heartbeat(row: Mapping[str, object] | None) -> Heartbeat | None:
    if row is None:
        return None
    found, count, errors = row["found"], row["count"], row["errors"]
    if not (isinstance(count, int) and isinstance(errors, int) and isinstance(found, int | None)):
        raise TypeError("a heartbeat counts")
    return Heartbeat(found, count, errors, bool(row["intruder"]))
