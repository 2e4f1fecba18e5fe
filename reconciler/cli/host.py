"""`ostler host`: what persons say about hosts."""

from collections.abc import Collection, Mapping
from typing import Annotated

import typer

from reconciler.cli.confirmations import opened_store
from reconciler.cli.failures import CommandError
from reconciler.cli.loading import load_data_center
from reconciler.cli.naming import find_id
from reconciler.cli.observing import observe_now
from reconciler.cli.plan import DataCenterOption, PathsOption
from reconciler.cli.statuses import Status
from reconciler.model.desired import Desired
from reconciler.model.observed import HostObservation
from reconciler.model.reports import HostOffProof, Reports, RunOnHost
from reconciler.observing.assemble import assemble
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
    host: Annotated[str, typer.Argument(help="The host's id, name, spec.name or uuid.")],
    file: PathsOption,
    data_center: DataCenterOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; you have looked.")] = False,
    reference: Annotated[
        str, typer.Option("--reference", help="Who looked, or a ticket; kept with the confirmation.")
    ] = "",
) -> int:
    """Confirm that a silent host is off, also one that no manifest declares any more. It counts until the host answers
    again, or is seen to have run a VM since."""
    desired, _ = load_data_center(file, data_center)
    reports = observe_now(desired)
    center = desired.data_center.uuid
    open_runs = find_open_runs(center, reports.storage)
    known = _known_hosts(desired, reports, open_runs)
    found = _find(known, _named(desired, host))
    if found.status != "silent":
        raise CommandError(f"{found.id} {NOT_SILENT[found.status]}", Status.REFUSED)
    declared = desired.hosts.get(found.id)
    address = declared.address if declared else "no manifest declares it"
    typer.echo(WARNING.format(host=found.id, address=address), err=True)
    if not yes and not _agreed(found.id):
        raise CommandError("nothing was confirmed", Status.REFUSED)
    runs = tuple(sorted(open_runs.get(found.uuid, ())))
    with opened_store() as store:
        store.confirmations.add(center, HostOffProof(found.uuid, "confirmed", runs, reference))
    _tell(found.id, runs, reports)
    return Status.DONE


def _tell(identifier: str, runs: Collection[RunOnHost], reports: Reports) -> None:
    """What the word covers."""
    typer.echo(
        f"{identifier} counts as off until it answers again, or a record shows that it has run a VM since; "
        f"{len({one.vm for one in runs})} VM(s) may have run there; next: ostler plan",
        err=True,
    )
    unread = sum(one.contents is None for one in reports.storage)
    if unread:
        typer.echo(
            f"the records of {unread} storage domain(s) could not be read; for VMs that may run there by one of them "
            "you are asked again",
            err=True,
        )


def _known_hosts(
    desired: Desired, reports: Reports, open_runs: Mapping[str, Collection[RunOnHost]]
) -> dict[str, HostObservation]:
    """Every host that may run VMs, by id: declared, with a host id in the pool, or named by an open run."""
    hosts = assemble(desired, reports).hosts
    seen = {one.uuid for one in hosts.values()}
    named = (HostObservation(f"host/{uuid}", uuid, "silent") for uuid in open_runs if uuid not in seen)
    return {**hosts, **{one.id: one for one in named}}


def _named(desired: Desired, name: str) -> str:
    """The id of a declared host, whichever of its names was given; other names as they are."""
    return find_id(name, {one: host.meta.name for one, host in desired.hosts.items()}, "host") or name


def _find(hosts: Mapping[str, HostObservation], name: str) -> HostObservation:
    """A host by name, id or uuid."""
    by_uuid = {one.uuid: one for one in hosts.values()}
    found = hosts.get(name) or hosts.get(f"host/{name}") or by_uuid.get(name.removeprefix("host/"))
    if found is None:
        raise CommandError(f"nothing knows a host {name}; there is {', '.join(sorted(hosts)) or 'none'}")
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
