"""Entry point of `ostler`: registers the commands, and turns faults into exit statuses without tracebacks."""

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import click
import typer

from reconciler.cli.failures import CommandError, describe_failure
from reconciler.cli.statuses import Status
from reconciler.version import PLANNER

COMMANDS = (
    "init", "validate", "plan", "show", "apply", "control", "explain", "simulate", "observe", "get", "vm", "host",
    "crds", "lab", "pki", "takeover",
)  # fmt: skip

app = typer.Typer(
    name="ostler",
    help="Runs KVM virtualization estates from declared state, by ordered and reviewable plans.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    """Prints the version and ends."""
    if value:
        click.echo(f"ostler {PLANNER}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Runs KVM virtualization estates from declared state, by ordered and reviewable plans."""


def _register() -> None:
    """Lets every command module add what it has."""
    for name in COMMANDS:
        module: ModuleType = import_module(f"reconciler.cli.{name}")
        module.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `ostler`; always ends the process, with an exit status of docs/commands.md."""
    _register()
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit status."""
    try:
        result = app(args=list(arguments), prog_name="ostler", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return Status.USAGE
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return Status.FAILED
    except CommandError as error:
        click.echo(str(error), err=True)
        return error.status
    except BrokenPipeError:
        return Status.DONE
    except Exception as error:
        text = describe_failure(error)
        if text is None:
            raise
        click.echo(text, err=True)
        return Status.ERROR
    return result if isinstance(result, int) else Status.DONE


if __name__ == "__main__":
    main()
