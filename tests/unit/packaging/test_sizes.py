"""Files and functions stay small enough to be read at once: 500 lines a file, 50 a function."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("reconciler", "nodeagent", "tests", "benchmarks", "scripts")
LONGEST_FILE = 500
LONGEST_FUNCTION = 50
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def long_functions(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{node.lineno} {node.name}: {lines}"


def test_no_file_is_longer_than_five_hundred_lines():
    lengths = {name: len(source.splitlines()) for name, source in SOURCES.items()}

    assert len(lengths) > 300
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_is_longer_than_fifty_lines():
    assert [f"{name}:{one}" for name, source in SOURCES.items() for one in long_functions(source)] == []


@pytest.mark.parametrize(("lines", "found"), [(50, []), (51, ["1 one: 51"])])
def test_a_function_counts_from_its_name_to_its_end(lines: int, found: list[str]):
    assert [*long_functions("async def one():\n" + "    pass\n" * (lines - 1))] == found
