"""`ostler host`: what persons say about hosts."""

from typing import Annotated

import typer

from reconciler.cli.confirmations import opened_store
from reconciler.cli.failures import CommandError
from reconciler.cli.loading import load_data_center
from reconciler.cli.observing import observe_now
from reconciler.cli.plan import DataCenterOption, PathsOption
from reconciler.cli.statuses import Status
from reconciler.model.desired import Desired, Host
from reconciler.model.reports import HostOffProof
from reconciler.observing.proofs import find_open_runs

app = typer.Typer(no_args_is_help=True, help="Hosts: confirm that one is off.")

WARNING = """\
You are about to say that {host} ({address}) is OFF: no power, or disconnected from all storage for good.
Its VMs may then be started on other hosts. If it still runs, two guests will write the same disks,
and their data will be destroyed. Look at the machine, or at its power management, before you answer."""

NOT_SILENT = {
    "answering": "answers: it is not off",
    "refused": "refuses to answer: whoever refuses is alive; see what `ostler get hosts` says of it",
    "unknown": "has not been silent for long enough, or cannot be asked; try again in a minute",
}


def register(root: typer.Typer) -> None:
    """Adds the commands."""
    root.add_typer(app, name="host")


@app.command("confirm-off")
def confirm_off(
    host: Annotated[str, typer.Argument(help="The host's name or id.")],
    file: PathsOption,
    data_center: DataCenterOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; you have looked.")] = False,
    reference: Annotated[
        str, typer.Option("--reference", help="Who looked, or a ticket; kept with the confirmation.")
    ] = "",
) -> int:
    """Confirm that a silent host is off. It counts until the host answers again."""
    desired, _ = load_data_center(file, data_center)
    declared = _find(desired, host)
    reports = observe_now(desired)
    report = next(one for one in reports.hosts if one.host == declared.meta.id)
    if report.status != "silent":
        raise CommandError(f"{declared.meta.id} {NOT_SILENT[report.status]}", Status.REFUSED)
    typer.echo(WARNING.format(host=declared.meta.id, address=declared.address), err=True)
    if not yes and not _agreed(declared.meta.id):
        raise CommandError("nothing was confirmed", Status.REFUSED)
    center = desired.data_center.uuid
    runs = find_open_runs(center, reports.storage).get(declared.uuid, frozenset())
    with opened_store() as store:
        proof = HostOffProof(declared.uuid, "confirmed", tuple(sorted(runs)), reference)
        store.confirmations.add(center, proof)
    typer.echo(
        f"{declared.meta.id} counts as off until it answers again, or a record shows that it has run a VM since; "
        f"{len({one.vm for one in runs})} VM(s) may have run there; next: ostler plan",
        err=True,
    )
    return Status.DONE


def _find(desired: Desired, name: str) -> Host:
    """A declared host by name or id."""
    found = desired.hosts.get(name) or desired.hosts.get(f"host/{name}")
    if found is None:
        raise CommandError(f"no host {name} is declared; there is {', '.join(desired.hosts) or 'none'}")
    return found


def _agreed(identifier: str) -> bool:
    """Asks for the host's id; without a terminal the answer is no."""
    import sys

    if not sys.stdin.isatty():
        typer.echo("not a terminal: say --yes if you have looked", err=True)
        return False
    return bool(
        typer.prompt(f"Type {identifier} to confirm", default="", show_default=False, err=True) == identifier
    )
