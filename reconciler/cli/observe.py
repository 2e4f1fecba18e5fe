"""`ostler observe`: all that the agents report, into a file for `plan --observed` and for bug reports."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from nodeagent.wire.codec import encode
from reconciler.cli.files import write_file
from reconciler.cli.loading import load_data_center
from reconciler.cli.observing import observe_now
from reconciler.cli.plan import DataCenterOption, PathsOption
from reconciler.cli.statuses import Status


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("observe")(observe)


def observe(
    file: PathsOption,
    data_center: DataCenterOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of stdout.")] = None,
) -> int:
    """Ask every host once. Exits 0 if all answered, 3 if some did not."""
    desired, _ = load_data_center(file, data_center)
    reports = observe_now(desired)
    document = msgspec.json.format(encode(reports), indent=1) + b"\n"
    if out is None:
        typer.echo(document.decode(), nl=False)
    else:
        write_file(out, document)
    silent = [one for one in reports.hosts if one.status != "answering"]
    for one in silent:
        typer.echo(f"{one.host}: {one.status}: {one.detail}", err=True)
    return Status.BLOCKED if silent else Status.DONE
