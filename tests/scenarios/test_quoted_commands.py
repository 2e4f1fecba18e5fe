"""Every `ostler …` that a golden text tells people to type is one that the command line understands."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from reconciler.cli.main import UsageError, make_app

TESTS = Path(__file__).parents[1]
TEXTS = (
    "scenarios/*/*/plan.txt",
    "scenarios/*/*/problems.txt",
    "timelines/*/*/log.txt",
    "timelines/*/*/end.yaml",
)
QUOTED = re.compile(r"`ostler ([^`]*)`")


def quoted() -> list[str]:
    """Every command line, once."""
    files = (path for pattern in TEXTS for path in TESTS.glob(pattern))
    return sorted({found for path in files for found in QUOTED.findall(path.read_text())})


def parse(words: list[str]) -> None:
    """Parses a command line and runs nothing. Raises UsageError."""
    command: Any = typer.main.get_command(make_app())
    parent = None
    while hasattr(command, "resolve_command"):
        parent = command.context_class(command, parent=parent, info_name=command.name)
        if not words:
            raise typer.BadParameter("a group of commands is no command")
        _, command, words = command.resolve_command(parent, words)
    needed = [one for one in command.params if one.name == "file" and one.required]
    given = {"-f", "--file"} & set(words)
    words = (
        words if given or not needed else [*words, "-f", "manifests"]
    )  # texts leave out where manifests are
    command.make_context(command.name, words, parent=parent)


def refused() -> Iterator[tuple[str, str]]:
    for line in quoted():
        try:
            parse(line.split())
        except UsageError as error:
            yield line, str(error)


def test_every_command_quoted_in_a_golden_text_is_understood() -> None:
    assert any(line.startswith("host confirm-off host/") for line in quoted())
    assert list(refused()) == []


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "host confirm-of host/h1",
        "host confirm-off",
        "host",
        "host confirm-off host/h1 --now",
        "explain a b",
    ],
)
def test_a_command_that_is_none_is_found(line: str) -> None:
    with pytest.raises(UsageError):
        parse(line.split())
