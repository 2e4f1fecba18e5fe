"""What commands print: text, tables and JSON to stdout, talk to stderr. NO_COLOR and pipes turn colours off."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
import yaml

from reconciler.model.quantities import format_bytes

SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
LONGEST_EXACT = 6
"""Characters of an exact quantity that is as easily read as a rounded one: `1536Mi`."""


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


class Share(NamedTuple):
    """So many of so many: `2/3` in a table."""

    present: int
    declared: int


Cell = str | int | Share | None
"""None is what is not known or not there: `-` in a table, null for programs."""


def print_rows(
    rows: Sequence[Sequence[Cell]],
    columns: Sequence[str],
    output: ListFormat,
    wide: Iterable[str] = (),
    sizes: Iterable[str] = (),
) -> None:
    """Rows under their columns; the first column is the name. Columns named in `wide` show only with `-o wide`.

    sizes: columns of numbers of bytes. For programs a column `run policy` is `runPolicy`, and the size `memory`
    is `memoryBytes`, all values as they are; for people sizes are rounded.
    """
    hidden, bytes_in = set(wide), set(sizes)
    if output is ListFormat.NAME:
        for row in rows:
            typer.echo(row[0])
        return
    if output in (ListFormat.JSON, ListFormat.YAML):
        keys = [f"{_camel(column)}{'Bytes' if column in bytes_in else ''}" for column in columns]
        plain = [dict(zip(keys, map(_value, row), strict=True)) for row in rows]
        if output is ListFormat.JSON:
            print_json(plain)
        else:
            typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
        return
    shown = [i for i, column in enumerate(columns) if output is ListFormat.WIDE or column not in hidden]
    lines = [[_plain(_text(row[i], size=columns[i] in bytes_in)) for i in shown] for row in rows]
    _print_table(lines, [columns[i].upper() for i in shown])


def _camel(title: str) -> str:
    """`run policy` as `runPolicy`."""
    first, *others = title.replace(",", "").lower().split()
    return first + "".join(word.capitalize() for word in others)


def _value(cell: Cell) -> Any:
    """A cell for programs."""
    return cell._asdict() if isinstance(cell, Share) else cell


def _text(cell: Cell, *, size: bool) -> str:
    """A cell for people."""
    if cell is None:
        return "-"
    if isinstance(cell, Share):
        return f"{cell.present}/{cell.declared}"
    return round_bytes(cell) if size and isinstance(cell, int) else str(cell)


def round_bytes(number: int) -> str:
    """A number of bytes for people: `512Mi`, `23.5Gi`, rounded to one place where it is not exact."""
    exact = format_bytes(number)
    if len(exact) <= LONGEST_EXACT:
        return exact
    power = min((number.bit_length() - 1) // 10, len(SUFFIXES) - 1)
    return f"{number / 1024**power:.1f}{SUFFIXES[power]}"


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
