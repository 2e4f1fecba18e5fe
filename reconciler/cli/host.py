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

app = typer.Typer(no_args_is_help=True, help="Hosts: confirm that one is off.")

WARNING = """\
You are about to say that {host} ({address}) is OFF: no power, or disconnected from all storage for good.
Its VMs may then be started on other hosts. If it still runs, two guests will write the same disks,
and their data will be destroyed. Look at the machine, or at its power management, before you answer."""


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
    report = next(one for one in observe_now(desired).hosts if one.host == declared.meta.id)
    if report.status == "answering":
        raise CommandError(f"{declared.meta.id} answers: it is not off", Status.REFUSED)
    typer.echo(WARNING.format(host=declared.meta.id, address=declared.address), err=True)
    if not yes and not _agreed(declared.meta.id):
        raise CommandError("nothing was confirmed", Status.REFUSED)
    boot = report.state.boot_id if report.state else None
    with opened_store() as store:
        store.confirmations.add(
            desired.data_center.uuid, HostOffProof(declared.uuid, "confirmed", boot, reference)
        )
    typer.echo(f"{declared.meta.id} counts as off until it answers again; next: ostler plan", err=True)
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
