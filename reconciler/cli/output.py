"""What commands print: text, tables and JSON to stdout, talk to stderr. NO_COLOR and pipes turn colours off."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer
import yaml


class Format(StrEnum):
    """Ways to print one thing."""

    TEXT = "text"
    JSON = "json"


class ListFormat(StrEnum):
    """Ways to print a list."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


FormatOption = Annotated[Format, typer.Option("--output", "-o", help="text or json.")]
ListOption = Annotated[ListFormat, typer.Option("--output", "-o", help="table, wide, json, yaml or name.")]


def print_json(value: Any) -> None:
    """A value as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_rows(
    rows: Sequence[Sequence[str]], columns: Sequence[str], output: ListFormat, wide: Iterable[str] = ()
) -> None:
    """Rows under their columns; the first column is the name. Columns named in `wide` show only with `-o wide`."""
    hidden = set(wide)
    if output is ListFormat.NAME:
        for row in rows:
            typer.echo(row[0])
        return
    if output in (ListFormat.JSON, ListFormat.YAML):
        plain = [dict(zip((column.lower() for column in columns), row, strict=True)) for row in rows]
        if output is ListFormat.JSON:
            print_json(plain)
        else:
            typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
        return
    shown = [i for i, column in enumerate(columns) if output is ListFormat.WIDE or column not in hidden]
    _print_table([[_plain(row[i]) for i in shown] for row in rows], [columns[i].upper() for i in shown])


def _plain(text: str) -> str:
    """Text that stays on its line and cannot steer a terminal: some of it comes from hosts."""
    return "".join(char if char.isprintable() else " " for char in text)


def _print_table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Columns aligned; the last one is cut to the terminal's width, never the others."""
    widths = [max(len(text) for text in column) for column in zip(columns, *rows, strict=True)]
    limit = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 0
    for row in (columns, *rows):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        typer.echo(f"{line[: limit - 1]}…" if limit and len(line) > limit else line)


def use_colour(stream: Any = None) -> bool:
    """Whether colours are wanted: a terminal, and NO_COLOR is not set."""
    import os

    return (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR")
