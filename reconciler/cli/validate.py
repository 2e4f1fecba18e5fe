"""`ostler validate`: every problem of manifests, each on a line."""

from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.loading import Loaded, find_oversized, load_manifests, load_reports
from reconciler.cli.output import Format, FormatOption, print_json
from reconciler.cli.statuses import Status
from reconciler.problems import Problem, has_errors


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("validate")(validate)


def validate(
    paths: Annotated[list[str], typer.Argument(help="Files, directories, or - for standard input.")],
    observed: Annotated[
        str | None,
        typer.Option("--observed", help="See whether VMs fit the hosts in what `ostler observe` wrote."),
    ] = None,
    output: FormatOption = Format.TEXT,
) -> int:
    """Check manifests: syntax, fields, units, references, limits; with hosts that were observed also sizes. Exits 0 if
    valid, 1 with problems."""
    loaded = load_manifests(paths)
    problems = (*loaded.problems, *(_oversized(loaded, observed) if observed else ()))
    if output is Format.JSON:
        print_json(problems)
    else:
        for problem in problems:
            typer.echo(str(problem))
    if has_errors(problems):
        return Status.ERROR
    objects = sum(
        1
        + len(one.clusters)
        + len(one.hosts)
        + len(one.networks)
        + len(one.storage_domains)
        + len(one.disks)
        + len(one.vms)
        for one in loaded.desired.values()
    )
    typer.echo(
        f"{objects} objects in {len(loaded.desired)} data center{'s' if len(loaded.desired) != 1 else ''}: valid",
        err=True,
    )
    return Status.DONE


def _oversized(loaded: Loaded, observed: str) -> tuple[Problem, ...]:
    """VMs of the data center that was observed and are larger than its hosts. Ends the command if it is not declared."""
    reports = load_reports(observed)
    desired = loaded.desired.get(reports.data_center)
    if desired is None:
        known = ", ".join(loaded.desired) or "none"
        raise CommandError(f"{observed} is of {reports.data_center}; these manifests declare {known}")
    return find_oversized(desired, reports, loaded.places)
