"""`ostler validate`: every problem of manifests, each on a line."""

from typing import Annotated

import typer

from reconciler.cli.loading import load_manifests
from reconciler.cli.output import Format, FormatOption, print_json
from reconciler.cli.statuses import Status
from reconciler.problems import has_errors


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("validate")(validate)


def validate(
    paths: Annotated[list[str], typer.Argument(help="Files, directories, or - for standard input.")],
    output: FormatOption = Format.TEXT,
) -> int:
    """Check manifests: syntax, fields, units, references, limits. Exits 0 if valid, 1 with problems."""
    loaded = load_manifests(paths)
    if output is Format.JSON:
        print_json(loaded.problems)
    else:
        for problem in loaded.problems:
            typer.echo(str(problem))
    if has_errors(loaded.problems):
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
