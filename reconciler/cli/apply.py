"""`ostler apply`: carries a plan out, shows how far it is, and says what became of it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.attendance import looking
from reconciler.cli.carrying import (
    agree,
    carry_out,
    count_steps,
    refuse,
    show_plan_text,
    status_of_end,
)
from reconciler.cli.clock import wallclock_ms
from reconciler.cli.confirmations import opened_store
from reconciler.cli.earlier import await_earlier, show_settled
from reconciler.cli.failures import CommandError
from reconciler.cli.files import read_file
from reconciler.cli.fleet import controller_files, holder_name, open_fleet
from reconciler.cli.home import find_home
from reconciler.cli.loading import find_oversized, load_data_center, show_problems
from reconciler.cli.plan import DataCenterOption, PruneOption, status_of
from reconciler.cli.secrets import SecretsOption, secrets_from
from reconciler.cli.signing import can_sign, find_signer
from reconciler.cli.statuses import Status
from reconciler.desired.places import Places
from reconciler.execution.run import Applier
from reconciler.loop import Estate, look, look_settled
from reconciler.model.desired import Desired
from reconciler.model.options import PassOptions
from reconciler.model.plan import Plan
from reconciler.pipeline import Pass
from reconciler.planfile.decode import PlanFile, PlanFileError, decode_plan
from reconciler.planfile.text import blocked_line
from reconciler.store.database import StoreHeldError
from reconciler.store.store import Store

UNHEARD = "nothing was done: no host answers, so nobody knows what there is; see `ostler get hosts`"


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
    """Carry out a plan. Exits 0 achieved, 3 achieved but something is blocked, 4 failed, unheard or interrupted, 5
    refused."""
    given = _read_planfile(planfile) if planfile else None
    paths = file or (list(given.sources) if given else None)
    if not paths:
        raise typer.BadParameter("give manifests (-f PATH) or a plan file that knows its own")
    desired, loaded = load_data_center(paths, data_center or (given.plan.data_center if given else None))
    files = controller_files(find_home())
    request = Request(desired, loaded.places, given.plan if given else None, expect, yes=yes)
    try:
        with opened_store() as store, store.exclusive():
            applier = Applier(
                holder_name(store),
                files.digest_key.read_bytes(),
                secrets_from(secrets),
                takeover,
                wallclock_ms,
                find_signer(),
            )
            return asyncio.run(
                _apply(request, store, applier, PassOptions(allow_prune=allow_prune, signs=can_sign()))
            )
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
        with looking(fleet) as asked:
            turn = await look_settled(replace(estate, fleet=asked))
        show_settled(turn.settled)
        fresh = turn.done
        show_problems(find_oversized(request.desired, fresh.reports, request.places))
        plan = request.plan or fresh.plan
        if request.plan is None:
            show_plan_text(plan)
        if plan.problems:
            raise CommandError("the plan has problems and cannot be applied", Status.ERROR)
        refuse(estate, plan, fresh, expected=request.expect)
        if request.plan is not None:
            show_plan_text(plan)  # one that is refused was seen when it was made
        if plan.steps:
            agree(f"Carry out {count_steps(plan)}?", yes=request.yes)
            status = status_of_end(await carry_out(estate, plan, fresh))
            if status is not Status.DONE:
                return status
        elif not _hears(fresh):
            raise CommandError(UNHEARD, Status.FAILED)
        waited = await await_earlier(estate, turn.settled)
        return await _look_again(estate) if plan.steps or waited else status_of(plan)


def _hears(done: Pass) -> bool:
    """Whether anything is known of a data center: one of its hosts answers, or it has none."""
    hosts = done.reports.hosts
    return not hosts or any(one.status == "answering" for one in hosts)


async def _look_again(estate: Estate) -> int:
    """After success a fresh look tells what is left."""
    with looking(estate.fleet) as asked:
        after = (await look(replace(estate, fleet=asked))).plan
    for one in after.blocked:
        typer.echo(f"blocked: {blocked_line(one)}", err=True)
    if after.steps:
        typer.echo(f"{len(after.steps)} further step(s) became possible; `ostler plan` shows them", err=True)
    return Status.BLOCKED if after.blocked else Status.DONE


def _read_planfile(path: Path) -> PlanFile:
    """A plan file, or the end of the command."""
    try:
        return decode_plan(read_file(path, "a plan file, as `ostler plan --out` writes it"))
    except PlanFileError as error:
        raise CommandError(f"{path}: {error}", Status.REFUSED) from error
