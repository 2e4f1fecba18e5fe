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
from reconciler.observing.assemble import assemble
from reconciler.observing.gaps import find_gaps


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("observe")(observe)


def observe(
    file: PathsOption,
    data_center: DataCenterOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of stdout.")] = None,
) -> int:
    """Ask every host once, and say what is not known. Exits 0 if all answered, 3 if some did not."""
    desired, _ = load_data_center(file, data_center)
    reports = observe_now(desired)
    document = msgspec.json.format(encode(reports), indent=1) + b"\n"
    if out is None:
        typer.echo(document.decode(), nl=False)
    else:
        write_file(out, document)
    for gap in find_gaps(desired, assemble(desired, reports, None)):
        typer.echo(f"{'alarm: ' if gap.alarm else ''}{gap}", err=True)
    silent = any(one.status != "answering" for one in reports.hosts)
    return Status.BLOCKED if silent else Status.DONE
