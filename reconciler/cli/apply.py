"""`ostler apply`: carries a plan out, shows how far it is, and says what became of it."""

import asyncio
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.confirmations import opened_store
from reconciler.cli.failures import CommandError
from reconciler.cli.fleet import controller_files, holder_name, open_fleet
from reconciler.cli.home import find_home
from reconciler.cli.loading import check_sizes, load_data_center
from reconciler.cli.plan import DataCenterOption, PruneOption, status_of
from reconciler.cli.progress import ApplyProgress, show_outcome
from reconciler.cli.secrets import secrets_from
from reconciler.cli.statuses import Status
from reconciler.desired.places import Places
from reconciler.execution.run import Applier, PlanRun
from reconciler.loop import Estate, admit, look, prepare_run, settle_journal
from reconciler.model.desired import Desired
from reconciler.model.outcome import ApplyOutcome
from reconciler.model.plan import Plan
from reconciler.pipeline import Pass, PassOptions
from reconciler.planfile.canonical import plan_digest
from reconciler.planfile.decode import PlanFile, PlanFileError, decode_plan
from reconciler.planfile.text import blocked_line, render_text
from reconciler.store.database import StoreHeldError
from reconciler.store.store import Store

SecretsOption = Annotated[
    Path | None, typer.Option("--secrets", help="Directory with one file a secret: NAME/KEY.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("apply")(apply)


def apply(
    planfile: Annotated[Path | None, typer.Argument(help="What `ostler plan --out` wrote.")] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", help="Manifests; with a plan file, instead of its own."),
    ] = None,
    data_center: DataCenterOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    expect: Annotated[str, typer.Option("--expect", help="Apply only the plan with this digest.")] = "",
    allow_prune: PruneOption = 0,
    secrets: SecretsOption = None,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="End another applier's lease; be sure that it is gone.")
    ] = False,
) -> int:
    """Carry out a plan. Exits 0 achieved, 3 achieved but something is blocked, 4 failed or interrupted, 5 refused."""
    given = _read_planfile(planfile) if planfile else None
    paths = file or (list(given.sources) if given else None)
    if not paths:
        raise typer.BadParameter("give manifests (-f PATH) or a plan file that knows its own")
    desired, loaded = load_data_center(paths, data_center or (given.plan.data_center if given else None))
    files = controller_files(find_home())
    applier = Applier(holder_name(), files.digest_key.read_bytes(), secrets_from(secrets), takeover)
    request = Request(desired, loaded.places, given.plan if given else None, expect, yes=yes)
    try:
        with opened_store() as store, store.exclusive():
            return asyncio.run(_apply(request, store, applier, PassOptions(allow_prune=allow_prune)))
    except StoreHeldError as error:
        raise CommandError(str(error), Status.REFUSED) from error


class Request:
    """What the command line asks for."""

    def __init__(
        self, desired: Desired, places: Places, plan: Plan | None, expect: str, *, yes: bool
    ) -> None:
        self.desired = desired
        self.places = places
        self.plan = plan
        self.expect = expect
        self.yes = yes


async def _apply(request: Request, store: Store, applier: Applier, options: PassOptions) -> int:
    """Settles, observes, plans, asks, admits, runs, looks again."""
    async with open_fleet(request.desired) as fleet:
        estate = Estate(request.desired, fleet, store, applier, options)
        for one in await settle_journal(estate):
            typer.echo(
                f"settled {one.step.step_id} of an earlier apply: {one.fate.outcome.state.value}", err=True
            )
        fresh = await look(estate)
        check_sizes(request.desired, fresh.reports, request.places)
        plan = request.plan or fresh.plan
        typer.echo(f"digest {plan_digest(plan)}")
        typer.echo(render_text(plan), nl=False)
        if plan.problems:
            raise CommandError("the plan has problems and cannot be applied", Status.ERROR)
        if not plan.steps:
            return status_of(plan)
        _refuse(estate, plan, fresh, request)
        run, watcher = _prepare(estate, plan, fresh)
        outcome = await _carry_out(run, watcher)
        show_outcome(outcome, plan, watcher.elapsed_s)
        return await _judge(estate, outcome)


def _refuse(estate: Estate, plan: Plan, fresh: Pass, request: Request) -> None:
    """Ends the command with every objection, or because nobody agreed."""
    objections = admit(estate, plan, fresh, expected=request.expect)
    if objections:
        lines = "\n".join(f"refused: {one}" for one in objections)
        raise CommandError(lines, Status.REFUSED)
    if not request.yes and not _agreed(plan):
        raise CommandError("nothing was done", Status.REFUSED)


def _agreed(plan: Plan) -> bool:
    """Asks on a terminal; elsewhere the answer is no."""
    if not sys.stdin.isatty():
        typer.echo("not a terminal: say --yes to apply without being asked", err=True)
        return False
    return bool(typer.confirm(f"Carry out these {len(plan.steps)} steps?", default=False, err=True))


def _prepare(estate: Estate, plan: Plan, fresh: Pass) -> tuple[PlanRun, ApplyProgress]:
    """The run and the one who shows it; each knows the other."""
    watcher = ApplyProgress(plan, clock=time.monotonic)
    run = prepare_run(estate, plan, fresh, watcher)
    watcher.waiting = run.waiting
    return run, watcher


async def _carry_out(run: PlanRun, watcher: ApplyProgress) -> ApplyOutcome:
    """Runs the plan; the first Ctrl-C lets running steps finish, the second gives up watching them."""
    running = asyncio.ensure_future(run.run())
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if watcher.stopping:
            running.cancel()
        watcher.stopping = True
        watcher.say(
            "stopping: running steps are finished, no more are started; Ctrl-C again leaves them to the agents"
        )
        run.stop("interrupted; `ostler apply` again goes on from here")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        with watcher.shown(), suppress(asyncio.CancelledError):
            return await running
        raise CommandError(
            "left: the agents finish what they run; `ostler apply` again settles it", Status.FAILED
        )
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _judge(estate: Estate, outcome: ApplyOutcome) -> int:
    """The exit status; after success a fresh look tells what is left."""
    if outcome.refused:
        return Status.REFUSED
    if not outcome.achieved or outcome.interrupted:
        return Status.FAILED
    after = (await look(estate)).plan
    for one in after.blocked:
        typer.echo(f"blocked: {blocked_line(one)}", err=True)
    if after.steps:
        typer.echo(f"{len(after.steps)} further step(s) became possible; `ostler plan` shows them", err=True)
    return Status.BLOCKED if after.blocked else Status.DONE


def _read_planfile(path: Path) -> PlanFile:
    """A plan file, or the end of the command."""
    try:
        return decode_plan(path.read_bytes())
    except PlanFileError as error:
        raise CommandError(f"{path}: {error}", Status.REFUSED) from error
