"""Entry point of `ostler-agent`: its commands, and faults as exit statuses without tracebacks."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from nodeagent.check import ALL_CHECKS, run_checks
from nodeagent.config import DEFAULT_PATH, ConfigError, default_config, read_config
from nodeagent.enrolment import decode_token, enrol
from nodeagent.operations.contract import OperationError
from nodeagent.process import build_scene, describe_api, run_agent
from nodeagent.version import AGENT_VERSION
from nodeagent.wire.codec import to_plain
from nodeagent.wire.enrolment import TOKEN_PREFIX
from nodeagent.wire.facts import CheckFacts

USAGE_ERROR = 64
TOKEN_LIMIT = 64 * 1024
DEFAULT_CERTIFICATES = Path("/etc/ostler/pki")

app = typer.Typer(
    name="ostler-agent",
    help="Reports what a KVM host is and runs, and carries out the orders of its controller.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[Path, typer.Option("--config", help="agent.yaml of this host.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Reports what a KVM host is and runs, and carries out the orders of its controller."""
    if version:
        typer.echo(f"ostler-agent {AGENT_VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE_ERROR)


@app.command()
def serve(config: ConfigOption = DEFAULT_PATH) -> None:
    """Run the agent until SIGTERM. Guests and migrations go on without it."""
    run_agent(read_config(config))


@app.command()
def check(
    config: ConfigOption = DEFAULT_PATH,
    output: Annotated[
        Literal["table", "json"], typer.Option("-o", "--output", help="table or json.")
    ] = "table",
) -> None:
    """Tell what this host lacks, enrolled or not. Exit status 1 if any of it is an error."""
    unenrolled = config == DEFAULT_PATH and not config.exists()
    settings = default_config(DEFAULT_CERTIFICATES) if unenrolled else read_config(config)
    findings = run_checks(build_scene(settings), ALL_CHECKS)
    typer.echo(json.dumps(to_plain(findings), indent=2) if output == "json" else as_table(findings))
    raise typer.Exit(1 if any(finding.level == "error" for finding in findings) else 0)


@app.command()
def enroll(
    source: Annotated[
        str, typer.Option("--token", help="File that holds the token; - reads standard input.")
    ] = "-",
    directory: Annotated[
        Path, typer.Option("--directory", help="Where certificates go.")
    ] = DEFAULT_CERTIFICATES,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Get this host's certificates with a token of `ostler pki token`, and write agent.yaml if there is none."""
    text = read_token(source)
    enrol(text, directory)
    host = decode_token(text)
    typer.echo(
        f"this host is host/{host.host_name} ({host.host_uuid}); certificates are in {directory}", err=True
    )
    if not config.exists():
        write_first_config(config, host.host_name, host.host_uuid, directory, host.addresses)
        typer.echo(f"wrote {config}; look through it, then start ostler-agent", err=True)


@app.command(hidden=True)
def describe() -> None:
    """Print the service's OpenAPI document."""
    typer.echo(json.dumps(describe_api(), indent=2, sort_keys=True))


def read_token(source: str) -> str:
    """The token's text from a file or, with `-`, from standard input; never from an argument, which others can see."""
    if source.startswith(TOKEN_PREFIX):
        raise typer.BadParameter(
            "arguments can be seen by other users: give a file that holds the token, or -"
        )
    if source == "-":
        return sys.stdin.read(TOKEN_LIMIT)
    with Path(source).open(encoding="utf-8", errors="replace") as file:
        return file.read(TOKEN_LIMIT)


def write_first_config(
    path: Path, name: str, uuid: str, certificates: Path, addresses: tuple[str, ...]
) -> None:
    """A first agent.yaml, as JSON (which is YAML); the first address is what other hosts will use."""
    document = {
        "host": {"name": name, "uuid": uuid, "address": addresses[0] if addresses else name},
        "tls": {
            "certificate": str(certificates / "host.pem"),
            "key": str(certificates / "host.key"),
            "controllersCa": str(certificates / "controllers-ca.pem"),
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def as_table(findings: tuple[CheckFacts, ...]) -> str:
    """A line for each topic: ok, or its findings and under each what to do."""
    lines = []
    for topic in ALL_CHECKS:
        found = [finding for finding in findings if finding.topic == topic]
        if not found:
            lines.append(f"{topic:<14}ok")
        for finding in found:
            lines.append(f"{topic:<14}{finding.level:<9}{finding.summary}")
            if finding.action:
                lines.append(f"{'':<14}{'':<9}→ {finding.action}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run `ostler-agent`; always ends the process: 0 done, 1 error, 64 wrong usage."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        app(args=arguments, prog_name="ostler-agent")
    except SystemExit as end:
        # typer ends with 2 for wrong usage, and only then
        return USAGE_ERROR if end.code == 2 else int(end.code or 0)
    except ConfigError as error:
        return _fail(str(error))
    except OperationError as error:
        return _fail(f"{error.summary}; {error.action}" if error.action else error.summary)
    except OSError as error:
        return _fail(f"{error.filename or 'ostler-agent'}: {error.strerror}")
    return 0


def _fail(text: str) -> int:
    typer.echo(f"error: {text}", err=True)
    return 1


if __name__ == "__main__":
    main()
