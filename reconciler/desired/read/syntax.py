"""libyaml's syntax errors turned into our words: what is wrong and what to write."""

from typing import Final

from yaml.error import MarkedYAMLError, YAMLError

from reconciler.desired.read.faults import FileFaults
from reconciler.desired.read.shown import shown
from reconciler.desired.read.texts import Chunk

_QUOTE: Final = "put the value in quotes"
_MESSAGES: Final[dict[str, tuple[str, str]]] = {
    "mapping values are not allowed in this context": (
        "a ':' cannot stand here",
        "quote a value that contains ': ', or mend the indentation",
    ),
    "block sequence entries are not allowed in this context": (
        "a list item cannot start here",
        "start each '- ' on a line of its own, below its key",
    ),
    "mapping keys are not allowed in this context": ("a key cannot start here", "mend the indentation"),
    "could not find expected ':'": ("the ':' after this key is missing", "write 'key: value'"),
    "did not find expected key": (
        "this line does not fit the mapping around it",
        "indent it like the other keys, or quote the value before it",
    ),
    "did not find expected '-' indicator": (
        "this line does not fit the list around it",
        "start it with '- ' or mend the indentation",
    ),
    "did not find expected ',' or ']'": (
        "a '[' is not closed here",
        "write ',' between items and ']' at the end",
    ),
    "did not find expected ',' or '}'": (
        "a '{' is not closed here",
        "write ',' between keys and '}' at the end",
    ),
    "did not find expected node content": ("a value is missing here", _QUOTE),
    "found unexpected end of stream": ("quoted text is not closed", "write the closing quote"),
    "found unexpected document indicator": ("quoted text is not closed", "write the closing quote"),
    "found unknown escape character": (
        "this is no escape that YAML knows",
        "write \\\\ for a backslash, or use single quotes",
    ),
    "did not find expected hexdecimal number": (
        "an escape lacks its hexadecimal digits",
        "write \\xHH, \\uHHHH or \\UHHHHHHHH",
    ),
    "found invalid Unicode character escape code": (
        "this escape is no character",
        "write the character itself instead of surrogate halves",
    ),
    "did not find expected comment or line break": (
        "text stands behind '|' or '>'",
        "start the text on the next line, indented",
    ),
    "found a tab character where an indentation space is expected": (
        "a tab stands in the indentation",
        "indent with spaces",
    ),
    "found a tab character that violates indentation": (
        "a tab stands in the indentation",
        "indent with spaces",
    ),
    "did not find expected <document start>": (
        "the document has ended before this line",
        "start another one with a line '---', or indent this line",
    ),
    "found undefined tag handle": ("tags are not supported", "remove the tag, or quote the value"),
}
_CONTEXTS: Final[dict[str, tuple[str, str]]] = {
    "while scanning an alias": ("a value cannot start with '*'", _QUOTE),
    "while scanning an anchor": ("a value cannot start with '&'", _QUOTE),
    "while scanning a tag": ("a value cannot start with '!'", _QUOTE),
    "while scanning a directive": ("a line cannot start with '%'", "indent it, or put the text in quotes"),
}


def report_syntax(error: YAMLError, chunk: Chunk, faults: FileFaults) -> None:
    """Record a syntax error at its own line and column of the file."""
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    line, column = (mark.line, mark.column) if mark else (0, 0)
    faults.add(chunk.lines_before + line + 1, column + 1, *_explain(error, chunk, line, column))


def _explain(error: YAMLError, chunk: Chunk, line: int, column: int) -> tuple[str, str]:
    if not isinstance(error, MarkedYAMLError):
        return f"this is not YAML: {shown(str(error))}", "mend the text here"
    problem, context = error.problem or "", error.context or ""
    if problem == "found character that cannot start any token":
        return _explain_character(chunk.text, line, column)
    summary, detail = (
        _CONTEXTS.get(context)
        or _MESSAGES.get(problem)
        or (
            f"this is not YAML: {shown(problem)}",
            "mend the text here",
        )
    )
    start = error.context_mark
    if start is None or start.line == line:
        return summary, detail
    return summary, f"{detail}; what it belongs to starts at line {chunk.lines_before + start.line + 1}"


def _explain_character(text: str, line: int, column: int) -> tuple[str, str]:
    rows = text.split("\n", line + 1)
    character = rows[line][column : column + 1]
    if character == "\t":
        return "a tab stands where indentation is expected", "indent with spaces"
    return f"a value cannot start with '{shown(character)}'", _QUOTE
