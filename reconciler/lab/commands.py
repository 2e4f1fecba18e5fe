"""Programs of the machine, run with an output that is kept and an error that names the command."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.lab.errors import LabError, fail

LIMIT_S = 60


def run(
    argv: Sequence[str],
    *,
    text_in: str | None = None,
    timeout_s: float = LIMIT_S,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, whatever its exit status. Raises LabError if it is missing or exceeds the limit."""
    try:
        return subprocess.run(  # noqa: S603 - argv is a list, no shell reads it
            list(argv),
            input=text_in,
            stdin=subprocess.DEVNULL if text_in is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise fail(
            f"{argv[0]} is not installed", "run scripts/setup, or install the package that has it"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise fail(
            f"{argv[0]} did not end within {timeout_s:g} s", f"the command was: {' '.join(argv)}"
        ) from error


def run_checked(argv: Sequence[str], *, text_in: str | None = None, timeout_s: float = LIMIT_S) -> str:
    """The output of a program. Raises LabError, with what it said, unless its exit status is 0."""
    done = run(argv, text_in=text_in, timeout_s=timeout_s)
    if done.returncode != 0:
        raise refuse(done, argv)
    return done.stdout


def refuse(done: subprocess.CompletedProcess[str], argv: Sequence[str]) -> LabError:
    """The LabError for a program that failed."""
    said = (done.stderr or done.stdout).strip().splitlines()
    return fail(
        f"{argv[0]} failed with status {done.returncode}",
        f"{' '.join(argv)}: {said[-1] if said else 'no output'}",
    )


def start_detached(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    """Starts a program that outlives this process: session and parent of its own, no input, output to `log`."""
    with log.open("ab") as output:
        subprocess.run(  # noqa: S603 - argv is a list, no shell reads it
            ["setsid", "--fork", *argv],  # noqa: S607 - found in PATH like every program of the machine
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            check=True,
        )
