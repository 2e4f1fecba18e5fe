"""How far an apply is: a live view on a terminal, plain lines elsewhere; and its end."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from nodeagent.wire.orders import Progress
from reconciler.execution.delivery import SILENT
from reconciler.model.outcome import ApplyOutcome, StepOutcome, StepState
from reconciler.model.plan import Plan

MOST_WAITING = 8
MARKS = {
    StepState.SUCCEEDED: ("done", "green"),
    StepState.FAILED: ("failed", "bold red"),
    StepState.UNKNOWN: ("unknown", "bold red"),
    StepState.SKIPPED: ("skipped", "yellow"),
    StepState.WITHDRAWN: ("withdrawn", "yellow"),
}


class ApplyProgress:
    """Watches one run. `waiting` tells what each step waits for; it is set once the run is made."""

    def __init__(self, plan: Plan, clock: Callable[[], float]) -> None:
        self.waiting: Callable[[], Mapping[str, str]] = dict
        self.stopping = False
        self._steps = {step.id: step for step in plan.steps}
        self._clock = clock
        self._began_s = clock()
        self._running: dict[str, tuple[float, Progress | None]] = {}
        self._ended = 0
        self._console = Console(file=sys.stderr, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
        self._live: Live | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began_s

    @contextmanager
    def shown(self) -> Iterator[None]:
        """On a terminal, keeps the live view up while the block runs."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=self._view, console=self._console, refresh_per_second=4, transient=True
        ) as live:
            self._live = live
            yield
        self._live = None

    def say(self, text: str) -> None:
        """A line above the live view."""
        self._console.print(Text(text), soft_wrap=True)

    def step_changed(self, outcome: StepOutcome, progress: Progress | None) -> None:
        """A step began, is so far, or ended."""
        now = self._clock()
        if outcome.state is StepState.RUNNING:
            began, _ = self._running.get(outcome.step, (now, None))
            if outcome.step not in self._running and self._live is None:
                self.say(f"{self._at()} begin   {self._name(outcome.step)}")
            self._tell_silence(outcome.step, progress)
            self._running[outcome.step] = (began, progress)
            return
        began, _ = self._running.pop(outcome.step, (now, None))
        self._ended += 1
        mark, colour = MARKS.get(outcome.state, (outcome.state.value, ""))
        line = Text(f"{self._at()} ")
        line.append(f"{mark:<8}", style=colour)
        line.append(f"{outcome.step} on {self._steps[outcome.step].host} ({now - began:.1f} s)")
        if reason := self._reason(outcome):
            line.append(f": {reason}")
        self._console.print(line, soft_wrap=True)

    def _tell_silence(self, step: str, progress: Progress | None) -> None:
        """Off a terminal, a line about a host that does not answer; on one, the live view shows it."""
        before = self._running.get(step, (0.0, None))[1]
        message = progress.message if progress is not None else ""
        if self._live is None and SILENT in message and (before is None or before.message != message):
            self.say(f"{self._at()} waiting {step}: {message}")

    def _at(self) -> str:
        """Seconds since the beginning."""
        return f"{self.elapsed_s:7.1f} s"

    def _name(self, step: str) -> str:
        """The step, its host and what it does."""
        one = self._steps[step]
        return f"{step} on {one.host}: {one.summary}"

    def _reason(self, outcome: StepOutcome) -> str:
        """Why a step did not succeed, and what to do."""
        if outcome.state is StepState.SUCCEEDED:
            return ""
        cause = f"because of {outcome.cause}" if outcome.cause in self._steps else outcome.cause
        return "; ".join(part for part in (outcome.summary or cause, outcome.action) if part)

    def _view(self) -> Group:
        """Running steps with host, time and progress; the next ones with what they wait for."""
        now = self._clock()
        room = max(1, self._console.size.height - len(self._running) - 3)
        most = min(MOST_WAITING, room)
        lines = [
            Text(
                f"{self._ended} of {len(self._steps)} steps ended, {len(self._running)} running", style="bold"
            )
        ]
        for step, (began, progress) in self._running.items():
            line = Text("  ▶ ", style="cyan", overflow="ellipsis", no_wrap=True)
            line.append(f"{step} on {self._steps[step].host}  {now - began:.0f} s{_share(progress)}")
            lines.append(line)
        waiting = [(step, why) for step, why in self.waiting().items() if step not in self._running]
        lines += [
            Text(f"  · {step}: {why}", style="dim", overflow="ellipsis", no_wrap=True)
            for step, why in waiting[:most]
        ]
        if len(waiting) > most:
            lines.append(Text(f"  · and {len(waiting) - most} more wait", style="dim"))
        return Group(*lines)


def _share(progress: Progress | None) -> str:
    """Percent and message of a running order."""
    if progress is None:
        return ""
    share = f"  {progress.done_bytes * 100 // progress.total_bytes} %" if progress.total_bytes else ""
    return f"{share}  {progress.message}".rstrip()


def show_outcome(outcome: ApplyOutcome, plan: Plan, elapsed_s: float) -> None:
    """The last line of an apply, and how to go on where it was not the end."""
    if outcome.refused:
        typer.echo(f"refused: {outcome.refused}", err=True)
        return
    counts: dict[str, int] = {}
    for one in outcome.steps.values():
        counts[one.state.value] = counts.get(one.state.value, 0) + 1
    ended = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    steps = "1 step" if len(plan.steps) == 1 else f"{len(plan.steps)} steps"
    typer.echo(f"{steps} in {elapsed_s:.1f} s: {ended}", err=True)
    if outcome.interrupted:
        typer.echo(f"interrupted: {outcome.interrupted}", err=True)
    elif not outcome.achieved:
        typer.echo("not achieved; `ostler plan` shows what is left, `ostler apply` goes on", err=True)
