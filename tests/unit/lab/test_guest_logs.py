import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.lab.guestlog import Heartbeat, read_last_report, read_reports


def line(**changes: Any) -> str:
    row = {
        "uptime": 2.53,
        "boot": "b1",
        "memoryKib": 1000,
        "cpus": 1,
        "disks": {"vda": {"bytes": 512, "ro": True}},
        "nics": {"52:54:00:00:00:01": {"carrier": True, "operstate": "up"}},
        "cd": None,
        "rng": False,
    }
    return f"OSTLER-GUEST {json.dumps(row | changes)}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "console"


def test_the_newest_line_counts(log: Path) -> None:
    log.write_text(f"[    0.0] Linux\r\n{line()}\r\n{line(uptime=3.5)}\r\n")
    report = read_last_report(log)
    assert report
    assert report.uptime_ms == 3500
    assert report.disks == {"vda": (512, True)}
    assert report.nics == {"52:54:00:00:00:01": (True, "up")}
    assert report.heartbeat is None


def test_a_line_that_is_still_being_written_does_not_count(log: Path) -> None:
    log.write_text(f"{line()}\n{line(uptime=3.5)}")
    report = read_last_report(log)
    assert report
    assert report.uptime_ms == 2530


def test_the_kernel_may_speak_before_a_line(log: Path) -> None:
    log.write_text(f"[    1.0] random: {line()}\n")
    assert read_last_report(log)


@pytest.mark.parametrize(
    "broken", ["OSTLER-GUEST", "OSTLER-GUEST {", "OSTLER-GUEST 1", 'OSTLER-GUEST {"uptime":"x"}', "\x00\xff"]
)
def test_broken_lines_are_passed_over(log: Path, broken: str) -> None:
    log.write_text(f"{line()}\n{broken}\n")
    report = read_last_report(log)
    assert report
    assert report.uptime_ms == 2530


def test_the_heartbeat_of_a_new_and_of_a_used_disk(log: Path) -> None:
    beats = [{"found": found, "count": 7, "errors": 0, "intruder": False} for found in (None, 6)]
    log.write_text("".join(f"{line(heartbeat=beat)}\n" for beat in beats))
    assert [report.heartbeat for report in read_reports(log)] == [
        Heartbeat(None, 7, 0, False),
        Heartbeat(6, 7, 0, False),
    ]


@pytest.mark.parametrize("beat", [{}, {"found": 1, "count": "x", "errors": 0, "intruder": False}, 7])
def test_a_heartbeat_of_another_form_is_no_report(log: Path, beat: object) -> None:
    log.write_text(f"{line(heartbeat=beat)}\n")
    assert read_last_report(log) is None


def test_only_the_end_of_a_long_log_is_read(log: Path) -> None:
    log.write_text(f"{line(uptime=1.0)}\n" + "x" * 300_000 + f"\n{line(uptime=9.0)}\n")
    assert [report.uptime_ms for report in read_reports(log)] == [9000]


def test_no_log_is_no_report(log: Path) -> None:
    assert read_last_report(log) is None
