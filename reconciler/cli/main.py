"""Entry point of `ostler`: registers the commands, and turns faults into exit statuses without tracebacks."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from reconciler.cli.failures import CommandError, describe_failure, report_bug
from reconciler.cli.statuses import Status
from reconciler.cli.usage import describe_usage
from reconciler.version import PLANNER

COMMANDS: dict[str, str] = {
    name: name
    for name in (
        "init",
        "validate",
        "plan",
        "show",
        "apply",
        "explain",
        "observe",
        "simulate",
        "get",
        "vm",
        "host",
        "run",
        "history",
        "takeover",
        "pki",
        "crds",
        "lab",
        "completion",
    )
} | dict.fromkeys(("pause", "resume", "cancel", "retry"), "control")
"""The module of each command. Only the module of the command that is run is imported: the others cost time."""

UsageError: type[Exception] = typer.BadParameter.__base__ or typer.BadParameter
"""What typer raises for wrong command lines; it has no public name of its own."""


def _version(value: bool) -> None:
    """Prints the version and ends."""
    if value:
        typer.echo(f"ostler {PLANNER}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(  # noqa: ARG001  its callback prints it
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
    store: str | None = typer.Option(
        None,
        "--store",
        metavar="PLACE",
        help="Journal and history: a file, or postgresql://… (or set OSTLER_STORE).",
    ),
) -> None:
    """Runs KVM virtualization estates from declared state, by ordered and reviewable plans."""
    if store is not None:
        os.environ["OSTLER_STORE"] = store


def make_app(names: Sequence[str] = tuple(COMMANDS)) -> typer.Typer:
    """The command with these subcommands."""
    app = typer.Typer(
        name="ostler",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for module in dict.fromkeys(COMMANDS[name] for name in names):
        import_module(f"reconciler.cli.{module}").register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `ostler`; always ends the process, with an exit status of docs/commands.md."""
    sys.excepthook = report_bug
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit status. Raises only for faults of this program."""
    named = arguments[0] if arguments else ""
    # A single subcommand would make typer drop its name, so a second, light one is always there.
    light = "init" if named.startswith("--version") else named
    names = COMMANDS if light not in COMMANDS else dict.fromkeys((light, "init"))
    try:
        result = make_app(tuple(names))(args=list(arguments), prog_name="ostler", standalone_mode=False)
    except UsageError as error:
        typer.echo(describe_usage(error, f"ostler {named}" if named in COMMANDS else "ostler"), err=True)
        return Status.USAGE
    except typer.Exit as end:
        return end.exit_code
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        return Status.FAILED
    except CommandError as error:
        typer.echo(str(error), err=True)
        return error.status
    except BrokenPipeError:
        return Status.DONE
    except Exception as error:
        text = describe_failure(error)
        if text is None:
            raise
        typer.echo(text, err=True)
        return Status.ERROR
    return result if isinstance(result, int) else Status.DONE


if __name__ == "__main__":
    main()
