"""`ostler init`: a data center's first manifest, with the uuid that everything else follows from."""

import re
import uuid
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.statuses import Status

MANIFEST = """\
# The root of the data center. Its uuid names everything that Ostler makes: never change it, never use it twice.
apiVersion: ostler.dev/v1alpha1
kind: DataCenter
metadata:
  name: {name}
spec:
  uuid: {uuid}
"""

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
"""What is both a metadata.name and the name of a data center."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("init")(init)


def init(
    name: Annotated[str, typer.Argument(help="The data center's name.")] = "main",
    out: Annotated[Path, typer.Option("--out", help="The file to write; it must not exist.")] = Path(
        "data-center.yaml"
    ),
) -> int:
    """Write the manifest of a new data center."""
    if NAME.fullmatch(name) is None:
        raise typer.BadParameter(
            f"{name!r} is no name: at most 40 of a-z, 0-9 and -, letter or digit first and last",
            param_hint="NAME",
        )
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(MANIFEST.format(name=name, uuid=uuid.uuid4()))
    except FileExistsError as error:
        raise CommandError(f"{out} exists and is left alone; choose another name with --out") from error
    typer.echo(
        f"{out} written; next: `ostler pki init`, then describe clusters, hosts, networks and storage",
        err=True,
    )
    return Status.DONE
