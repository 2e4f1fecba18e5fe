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
from reconciler.planfile.shortening import shorten

SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
GAP = "  "
LEAST_WIDTH = 8
"""Characters that a column keeps on the narrowest terminal."""
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
    """Columns aligned; on a terminal no wider than that."""
    limit = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None
    for line in lay_out([columns, *rows], limit):
        typer.echo(line)


def lay_out(rows: Sequence[Sequence[str]], limit: int | None = None) -> list[str]:
    """Rows as lines, columns aligned; the first is the headings. limit: characters of a line; where that is too little,
    the widest columns are shortened, names in their middle and the last column at its end."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if limit is not None:
        widths = fit_widths(widths, limit - len(GAP) * (len(widths) - 1))
    last = len(widths) - 1
    lines = [
        GAP.join(
            (_cut(text, width) if at == last else shorten(text, width)).ljust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return lines if limit is None else [_cut(line, limit) for line in lines]


def fit_widths(widths: Sequence[int], room: int) -> list[int]:
    """Widths that take no more than `room` together: the widest give first, none below LEAST_WIDTH."""
    widest = max(widths)
    while widest > LEAST_WIDTH and sum(min(one, widest) for one in widths) > room:
        widest -= 1
    return [min(one, widest) for one in widths]


def _cut(text: str, width: int) -> str:
    """Text in so many characters: its beginning."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
