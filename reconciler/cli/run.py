"""`ostler run`: the loop. Keeps every data center of the manifests as declared, until it is told to end."""

import asyncio
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer

from reconciler.cli.carrying import status_of_end
from reconciler.cli.clock import wallclock_ms
from reconciler.cli.confirmations import opened_store
from reconciler.cli.failures import CommandError
from reconciler.cli.fleet import controller_files, holder_name, open_fleet
from reconciler.cli.home import find_home
from reconciler.cli.loading import show_problems
from reconciler.cli.plan import PathsOption
from reconciler.cli.secrets import SecretsOption, secrets_from
from reconciler.cli.signing import can_sign, find_signer
from reconciler.cli.sources import Center, WatchedManifests
from reconciler.cli.statuses import Status
from reconciler.cli.stopping import signals
from reconciler.cli.turns import TurnLog
from reconciler.execution.run import Applier
from reconciler.keeping import Keeper, Means
from reconciler.loop import Turn
from reconciler.model.options import PassOptions
from reconciler.model.quantities import QuantityError, parse_duration
from reconciler.pausing import Pace
from reconciler.problems import Problem, has_errors
from reconciler.store.database import StoreHeldError
from reconciler.store.store import Store

SHORTEST_INTERVAL_MS = 1_000
DECLARED_MS = 1_000
"""How often it is looked whether the manifests declare another data center."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("run")(run)


def run(
    file: PathsOption,
    interval: Annotated[
        str, typer.Option("--interval", help="Between passes while nothing happens, such as 10s or 1m.")
    ] = "10s",
    once: Annotated[bool, typer.Option("--once", help="One pass of each data center, then end.")] = False,
    secrets: SecretsOption = None,
) -> int:
    """Keep all data centers of the manifests as declared, applying every plan. Ends on SIGTERM, after running steps.

    With --once the exit status is that of apply: 0 achieved, 3 something is blocked, 4 failed, 5 refused."""
    pace = Pace(interval_ms=_interval(interval))
    if "-" in file:
        raise typer.BadParameter(
            "the loop reads manifests again and again: name files or directories", param_hint="-f"
        )
    manifests = WatchedManifests(file, show_problems)
    log = TurnLog(_line, lambda: manifests.places)
    if not manifests.read():
        raise CommandError("these manifests declare no data center that can be kept")
    manifests.complain = _tell_problems
    files = controller_files(find_home())
    try:
        with opened_store() as store, store.exclusive("ostler run"):
            applier = Applier(
                holder_name(store),
                files.digest_key.read_bytes(),
                secrets_from(secrets),
                wallclock=wallclock_ms,
                signer=find_signer(),
            )
            means = Means(store, applier, open_fleet, log.tell, _line, pace, PassOptions(signs=can_sign()))
            if once:
                return asyncio.run(_run_once(manifests, means))
            asyncio.run(_run(manifests, means))
    except StoreHeldError as error:
        raise CommandError(str(error), Status.REFUSED) from error
    return Status.DONE


async def _run_once(manifests: WatchedManifests, means: Means) -> int:
    """One turn a data center; the worst status of all."""
    keepers = [Keeper(Center(manifests, name), means) for name in manifests.read()]
    with signals(partial(_end, means.store, keepers), once=True):
        turns = await asyncio.gather(*(keeper.turn_once() for keeper in keepers))
    return max((_status(turn) for turn in turns), default=Status.DONE)


async def _run(manifests: WatchedManifests, means: Means) -> None:
    """A task a data center, also of those that manifests declare later."""
    keepers: dict[str, Keeper] = {}
    tasks: dict[str, asyncio.Task[None]] = {}
    ending = asyncio.Event()

    def end() -> None:
        ending.set()
        _end(means.store, list(keepers.values()))

    with signals(end, once=True):
        while not ending.is_set():
            for name in manifests.read():
                if name not in keepers:
                    means.complain(f"{name}: kept from now on")
                    keepers[name] = Keeper(Center(manifests, name), means)
                    tasks[name] = asyncio.create_task(keepers[name].keep())
            await asyncio.wait([*tasks.values(), asyncio.create_task(ending.wait())], timeout=DECLARED_MS / 1000,
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
            for task in tasks.values():
                if task.done():
                    await task
        await asyncio.gather(*tasks.values())
    means.complain("ended")


def _end(store: Store, keepers: Sequence[Keeper]) -> None:
    """Start nothing more: applies that run finish their running steps."""
    _line("ending: running steps are finished, no more are started")
    for keeper in keepers:
        keeper.stop()
    for one in store.applies.running():
        store.applies.request_stop(one.apply_id, "the loop ends")


def _status(turn: Turn | None) -> Status:
    """What one turn came to, as apply would tell it."""
    if turn is None or turn.done.plan.problems:
        return Status.ERROR
    if turn.objections:
        return Status.REFUSED
    if turn.outcome is not None and status_of_end(turn.outcome) is not Status.DONE:
        return status_of_end(turn.outcome)
    return Status.BLOCKED if turn.done.plan.blocked else Status.DONE


def _tell_problems(problems: Sequence[Problem]) -> None:
    """Problems of manifests that changed while the loop runs, as lines of its log."""
    for one in problems:
        _line(str(one))
    if has_errors(problems):
        _line("the last good manifests stay in force")


def _interval(text: str) -> int:
    """`10s` as milliseconds. Raises a usage error for what is no duration, or shorter than a second."""
    try:
        found = parse_duration(text)
    except QuantityError as error:
        raise typer.BadParameter(str(error), param_hint="--interval") from error
    if found < SHORTEST_INTERVAL_MS:
        raise typer.BadParameter(f"{text} is too short: at least 1s", param_hint="--interval")
    return found


def _line(text: str) -> None:
    """One line of the log, with the time where no journal adds it."""
    stamp = "" if os.environ.get("JOURNAL_STREAM") else time.strftime("%Y-%m-%dT%H:%M:%S ")
    typer.echo(f"{stamp}{text}", err=True)
