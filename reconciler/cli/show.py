"""`ostler show`: a plan file as text, JSON, markdown or HTML; plans of other planner versions too."""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.files import read_file
from reconciler.cli.plan import PlanFormat, show_plan
from reconciler.cli.statuses import Status
from reconciler.planfile.decode import PlanFileError, decode_plan
from reconciler.version import PLANNER


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("show")(show)


def show(
    planfile: Annotated[Path, typer.Argument(help="What `ostler plan --out` wrote.")],
    output: Annotated[
        PlanFormat, typer.Option("--output", "-o", help="text, json, markdown or html.")
    ] = PlanFormat.TEXT,
) -> int:
    """Show a plan file. Exits 0, or 1 if it is no plan."""
    try:
        made = decode_plan(read_file(planfile, "a plan file, as `ostler plan --out` writes it")).plan
    except PlanFileError as error:
        raise CommandError(f"{planfile}: {error}") from error
    if made.planner != PLANNER:
        typer.echo(
            f"made by planner {made.planner}, this is {PLANNER}: it is shown, and `apply` refuses it",
            err=True,
        )
    show_plan(made, output)
    return Status.DONE
