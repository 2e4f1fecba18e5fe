"""A plan carried out under a person's eyes: shown, agreed to, watched, stopped with Ctrl-C. `apply` and `vm` call it."""

import asyncio
import sys
import time
from contextlib import suppress

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.progress import ApplyProgress, show_outcome
from reconciler.cli.statuses import Status
from reconciler.cli.stopping import signals
from reconciler.execution.run import PlanRun
from reconciler.loop import Estate, admit, prepare_run, remember
from reconciler.model.outcome import ApplyOutcome
from reconciler.model.plan import Plan
from reconciler.pipeline import Pass
from reconciler.planfile.canonical import plan_digest
from reconciler.planfile.text import render_text

HURRIED = "stopping: running steps are finished, no more are started; Ctrl-C again leaves them to the agents"
LEFT = "left: the agents finish what they run; the next `ostler apply` finds out how it ended and goes on"


def show_plan_text(plan: Plan) -> None:
    """The plan with its digest, as people review it."""
    typer.echo(f"digest {plan_digest(plan)}")
    typer.echo(render_text(plan), nl=False)


def refuse(estate: Estate, plan: Plan, fresh: Pass, *, expected: str = "") -> None:
    """Ends the command with every objection to the plan, if there is one."""
    objections = admit(estate, plan, fresh, expected=expected)
    if objections:
        raise CommandError("\n".join(f"refused: {one}" for one in objections), Status.REFUSED)


def agree(question: str, *, yes: bool) -> None:
    """Asks on a terminal, and ends the command unless the answer is yes; elsewhere only --yes will do."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "nothing was done: not a terminal, so say --yes to go on without being asked", Status.REFUSED
        )
    if not typer.confirm(question, default=False, err=True):
        raise CommandError("nothing was done", Status.REFUSED)


def count_steps(plan: Plan) -> str:
    """`this step`, `these 3 steps`."""
    return "this step" if len(plan.steps) == 1 else f"these {len(plan.steps)} steps"


async def carry_out(estate: Estate, plan: Plan, fresh: Pass) -> ApplyOutcome:
    """Runs an admitted plan, shows how far it is, tells its end, and remembers it in the store."""
    watcher = ApplyProgress(plan, clock=time.monotonic)
    run = prepare_run(estate, plan, fresh, watcher)
    watcher.waiting = run.waiting
    outcome = await _watch(run, watcher)
    remember(estate, plan, outcome)
    show_outcome(outcome, plan, watcher.elapsed_s)
    return outcome


async def _watch(run: PlanRun, watcher: ApplyProgress) -> ApplyOutcome:
    """The first Ctrl-C (or SIGTERM) lets running steps finish, the second gives up watching them."""
    running = asyncio.ensure_future(run.run())

    def interrupt() -> None:
        if watcher.stopping:
            running.cancel()
            return
        watcher.stopping = True
        watcher.say(HURRIED)
        run.stop("by a person; `ostler apply` goes on from here")

    with signals(interrupt), watcher.shown(), suppress(asyncio.CancelledError):
        return await running
    raise CommandError(LEFT, Status.FAILED)


def status_of_end(outcome: ApplyOutcome) -> Status:
    """The exit status of a plan that was carried out, or not."""
    if outcome.refused:
        return Status.REFUSED
    return Status.DONE if outcome.achieved and not outcome.interrupted else Status.FAILED
