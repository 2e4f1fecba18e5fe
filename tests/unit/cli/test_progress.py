"""What an apply says off a terminal while a host does not answer."""

import pytest

from nodeagent.wire.orders import Progress
from reconciler.cli.progress import ApplyProgress
from reconciler.model.outcome import StepOutcome, StepState
from tests.unit.execution.conftest import make_plan, make_step

SILENT = Progress("host/h1 does not answer; it is waited for at most 90 s more")


def test_a_host_that_does_not_answer_is_a_line_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ApplyProgress(make_plan(make_step("1")), lambda: 0.0)
    running = StepOutcome("vm/1#resume", StepState.RUNNING)
    for progress in (None, Progress("pass 1"), SILENT, SILENT, Progress("pass 2")):
        shown.step_changed(running, progress)

    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "waiting" in line] == [
        "    0.0 s waiting vm/1#resume: host/h1 does not answer; it is waited for at most 90 s more"
    ]
    assert len(lines) == 2
