"""Tables fit the terminal, colours only where they are wanted, and a closed pipe is no fault."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli.output import ListFormat, lay_out, print_rows
from reconciler.planfile.shortening import shorten
from tests.unit.cli.conftest import Desk

ROWS = [("vm/web-1", "running", "a note that is far too long for a narrow terminal " * 3)]
ROOT = Path(__file__).parents[3]


def test_lines_are_cut_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")

    print_rows(ROWS, ("vm", "state", "notes"), ListFormat.TABLE)

    assert all(len(line) <= 40 for line in capsys.readouterr().out.splitlines())


def test_lines_in_a_pipe_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, ("vm", "state", "notes"), ListFormat.TABLE)

    assert ROWS[0][2].strip() in capsys.readouterr().out


LONG = "vm/" + "-".join(["customer-portal-production"] * 2) + "-node-7"
LISTED = [
    ("vm", "state", "host", "notes"),
    (LONG, "running", "host/h1", ""),
    ("vm/b", "running", "host/h2", "to do: x"),
]


def test_a_long_name_is_shortened_in_its_middle_and_leaves_the_other_columns_alone() -> None:
    head, long, short = lay_out(LISTED, 60)

    assert max(map(len, (head, long, short))) <= 60
    assert long.startswith("vm/customer") and "…" in long
    assert "-node-7  running  host/h1" in long
    assert short.endswith("running  host/h2  to do: x")
    assert head.index("state") == short.index("running") == long.index("running")


@pytest.mark.parametrize("limit", range(30, 120, 7))
def test_no_table_is_wider_than_its_terminal(limit: int) -> None:
    rows = [*LISTED, (LONG, LONG, LONG, LONG)]

    assert max(map(len, lay_out(rows, limit))) <= limit


def test_what_fits_is_not_touched() -> None:
    assert lay_out(LISTED, 200) == lay_out(LISTED)
    assert LONG in lay_out(LISTED)[1]
    assert shorten("web-1", 5) == "web-1"
    assert shorten("web-12", 5) == "we…12"


def test_text_from_elsewhere_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([("vm/\x1b[2Jx", "run\nning")], ("vm", "state"), ListFormat.TABLE)

    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2


def ostler(*arguments: str, **fields: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler.cli.main", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120, **fields
    )  # type: ignore[call-overload, no-any-return]


def test_the_process_ends_with_the_status_of_its_command(tmp_path: Path) -> None:
    assert ostler("--version").returncode == 0
    assert ostler("explode").returncode == 64
    assert ostler("validate", str(tmp_path / "nothing")).returncode == 1


def test_a_closed_pipe_is_no_fault() -> None:
    command = f"{sys.executable} -m reconciler.cli.main explain --field all | head -1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )

    assert done.stdout.startswith("FIELD")
    assert done.stderr == ""


def test_a_fault_of_our_own_is_told_in_one_line_with_its_traceback_in_a_file(tmp_path: Path) -> None:
    code = "import reconciler.cli.main as m; m.run = lambda _: 1 / 0; m.main([])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=120,
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in next(tmp_path.glob("ostler-fault-*")).read_text()


def test_an_observation_says_what_is_not_known(applied: Desk, tmp_path: Path) -> None:
    file = str(tmp_path / "observed.json")
    whole = applied("observe", "-f", "--out", file)
    assert (whole.status, whole.err) == (0, "")
    applied.world.hosts["host/h1"].reachable = False

    lacking = applied("observe", "-f", "--out", file)

    assert lacking.status == 3
    assert "host/h1: it has" in lacking.err
    assert "so it is not known whether it runs" in lacking.err


def test_every_value_on_the_way_to_a_plan_can_be_kept(desk: Desk, tmp_path: Path) -> None:
    assert desk("plan", "-f", "--dump", str(tmp_path / "dump")).status == 2

    names = [path.name for path in sorted((tmp_path / "dump").iterdir())]
    assert names[0] == "1-desired.json"
    assert names[-1] == "7-plan.json"
    assert desk("plan", "-f", "--dump", "/dev/null/no").status == 1
