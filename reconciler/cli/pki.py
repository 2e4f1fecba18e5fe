"""`ostler pki`: authorities, certificates, enrolment."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.home import find_home
from reconciler.cli.output import ListFormat, ListOption, print_rows
from reconciler.cli.statuses import Status
from reconciler.pki.authority import create_authorities, load_authorities
from reconciler.pki.export import write_agent_files, write_controller_files

app = typer.Typer(no_args_is_help=True, help="Certificates: authorities, controllers, hosts, enrolment.")


def register(root: typer.Typer) -> None:
    """Adds the commands."""
    root.add_typer(app, name="pki")


@app.command()
def init(
    name: Annotated[str, typer.Option("--name", help="Name of this applier in its certificate.")] = "ostler",
) -> int:
    """Make both authorities, and this applier's certificate."""
    home = find_home()
    authorities = create_authorities(home.authorities)
    write_controller_files(authorities, authorities.issue_controller(name), home.controller)
    typer.echo(f"authorities in {home.authorities}: back this directory up, and keep the copy offline.")
    typer.echo("Without it no host can be enrolled and no certificate renewed; nothing else replaces it.")
    return Status.DONE


@app.command()
def token(
    host: Annotated[str, typer.Argument(help="metadata.name of the host.")],
    uuid: Annotated[str, typer.Option("--uuid", help="The host's uuid (`ostler get hosts` shows it).")],
    server: Annotated[str, typer.Option("--server", help="ADDRESS:PORT of `ostler pki serve`.")],
    address: Annotated[list[str], typer.Option("--address", help="Addresses and names of the host.")],
) -> int:
    """Print a single-use enrolment token for a host. Hand it over by a private way: it holds a secret."""
    from reconciler.pki.tokens import create_token

    authorities = load_authorities(find_home().authorities)
    typer.echo(create_token(authorities, server, host, uuid, address, now=datetime.now(UTC)))
    return Status.DONE


@app.command()
def tokens(output: ListOption = ListFormat.TABLE) -> int:
    """List enrolment tokens that were made; their secrets are not kept."""
    from reconciler.pki.tokens import list_tokens

    rows = [
        (one.host_name, one.host_uuid, _when(one.expires), _when(one.used) if one.used else "no")
        for one in list_tokens(find_home().authorities)
    ]
    print_rows(rows, ("host", "uuid", "expires", "used"), output)
    return Status.DONE


def _when(seconds: float) -> str:
    """Seconds since 1970 as a date that people read."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


@app.command()
def serve(
    address: Annotated[str, typer.Option("--address", help="Where to listen.")] = "::",
    port: Annotated[int, typer.Option("--port")] = 54331,
) -> int:
    """Answer `ostler-agent enroll` until interrupted."""
    from reconciler.pki.service import open_listener, serve_enrolment

    authorities = load_authorities(find_home().authorities)
    listener = open_listener(address, port=port)
    typer.echo(f"enrolment service on {address} port {port}; Ctrl-C ends it", err=True)
    asyncio.run(serve_enrolment(authorities, listener))
    return Status.DONE


@app.command()
def issue(
    host: Annotated[str, typer.Argument(help="metadata.name of the host.")],
    uuid: Annotated[str, typer.Option("--uuid")],
    address: Annotated[list[str], typer.Option("--address")],
    out: Annotated[Path, typer.Option("--out", help="Directory for the host's key and certificate.")],
) -> int:
    """Write a host's key and certificate here, for hosts that cannot reach `pki serve`. Enrolment is better."""
    authorities = load_authorities(find_home().authorities)
    write_agent_files(authorities.issue_agent(host, uuid, address), out)
    typer.echo(f"written to {out}; move it to the host's /etc/ostler/pki and delete it here", err=True)
    return Status.DONE
