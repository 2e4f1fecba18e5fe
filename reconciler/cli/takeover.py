"""`ostler takeover`: ends another applier's lease on the hosts, so that this one may apply."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer

from nodeagent.wire.facts import HostState
from reconciler.cli.carrying import agree
from reconciler.cli.confirmations import opened_store
from reconciler.cli.failures import CommandError
from reconciler.cli.fleet import holder_name, open_fleet
from reconciler.cli.loading import load_data_center
from reconciler.cli.observing import ask_fleet
from reconciler.cli.output import ListFormat, print_rows
from reconciler.cli.plan import DataCenterOption, PathsOption
from reconciler.cli.statuses import Status
from reconciler.execution.leases import Leases
from reconciler.model.desired import Desired

WARNING = """\
The steps that it has running are finished by the agents; it is given no more. If it still works, it will say that
it was taken over, and stop. Two appliers with different manifests undo each other's work: be sure which one is meant."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("takeover")(takeover)


def takeover(
    file: PathsOption,
    data_center: DataCenterOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Show who may order the hosts now, and end that. Exits 0 if nobody else may any more, 4 if a host refused."""
    desired, _ = load_data_center(file, data_center)
    with opened_store() as store:
        return asyncio.run(_take_over(desired, holder_name(store), yes=yes))


async def _take_over(desired: Desired, mine: str, *, yes: bool) -> int:
    async with open_fleet(desired) as fleet:
        reports = await ask_fleet(fleet, desired)
        states = {one.host: one.state for one in reports.hosts if one.state and one.status == "answering"}
        silent = [one.host for one in reports.hosts if one.host not in states]
        others = _others(states, mine)
        if silent:
            typer.echo(f"not asked, because they do not answer: {', '.join(silent)}", err=True)
        if not others:
            typer.echo("nobody else holds a lease: nothing to end", err=True)
            return Status.DONE
        _show(others)
        typer.echo(WARNING, err=True)
        agree(
            f"End the lease of {' and '.join(sorted({one.lease.holder for one in others.values()}))}?",
            yes=yes,
        )
        leases = Leases(
            fleet,
            data_center=desired.data_center.uuid,
            holder=mine,
            epoch_above=max(one.lease.epoch for one in states.values()),
            takeover=True,
        )
        async with leases.kept():
            refused = await leases.acquire(others, states)
    if refused:
        raise CommandError("\n".join(f"not taken: {text}" for text in refused.values()), Status.FAILED)
    typer.echo(f"taken over on {', '.join(others)}, and given back; next: ostler plan", err=True)
    return Status.DONE


def _others(states: Mapping[str, HostState], mine: str) -> dict[str, HostState]:
    """Hosts on which somebody else has a lease now."""
    return {
        name: one for name, one in states.items() if one.lease.remaining_ms > 0 and one.lease.holder != mine
    }


def _show(others: Mapping[str, HostState]) -> None:
    """Who holds which host."""
    rows = [
        (name, one.lease.holder, str(one.lease.epoch), f"{one.lease.remaining_ms / 1000:.0f} s")
        for name, one in others.items()
    ]
    print_rows(rows, ("host", "held by", "epoch", "unless renewed, ends in"), ListFormat.TABLE)
