"""What an earlier, killed apply left with the agents: told, and awaited where it still runs. `apply` and `vm` call it."""

import asyncio
from collections.abc import Iterable

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.statuses import Status
from reconciler.cli.stopping import signals
from reconciler.execution.settling import Settlement
from reconciler.loop import Estate, settle_journal

LOOK_S = 1.0
LEFT = "left: the agents finish what they run; the next `ostler apply` finds out how it ended"


def show_settled(settled: Iterable[Settlement]) -> None:
    """What was found out about steps of an earlier process."""
    for one in settled:
        name = f"{one.step.step_id} of an earlier apply"
        if one.fate.open:
            typer.echo(f"{name} still runs on {one.step.host}", err=True)
        else:
            typer.echo(f"settled {name}: {one.fate.outcome.state.value}", err=True)


async def await_earlier(estate: Estate, settled: Iterable[Settlement]) -> bool:
    """Wait until no step of an earlier process runs any more; whether there was one.

    Ctrl-C (or SIGTERM) leaves them to the agents: CommandError with the status of an interrupted apply.
    """
    running = _running(settled)
    if not running:
        return False
    typer.echo(f"waiting for the end of {', '.join(running)}", err=True)
    stopped = asyncio.Event()
    with signals(stopped.set):
        while running and not stopped.is_set():
            await _wait(stopped)
            now = await settle_journal(estate)
            show_settled(one for one in now if not one.fate.open)
            running = _running(now)
    if running:
        raise CommandError(LEFT, Status.FAILED)
    return True


def _running(settled: Iterable[Settlement]) -> list[str]:
    """Ids of steps whose orders are being carried out."""
    return [one.step.step_id for one in settled if one.fate.open]


async def _wait(stopped: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopped.wait(), LOOK_S)
    except TimeoutError:
        return
