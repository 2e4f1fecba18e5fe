"""Bytes of a manifest file turned into text, and text into chunks of one YAML document each.

A line that starts with `---` or `...` bounds documents wherever it stands, so a fault in one chunk
never reaches the next. Called by the reader for each file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from reconciler.desired.read.faults import FileFaults

_ALLOWED_BYTES: Final = bytes({0x09, 0x0A, 0x0D, *range(0x20, 0x7F), *range(0x80, 0x100)})
# C1 controls, line and paragraph separators (YAML 1.1 ends a line there, editors do not), byte order
# marks past the start, non-characters; and a carriage return that no line feed follows.
_UNWANTED: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|\r(?!\n)")
_STAND_IN: Final = "\ufffd"
_BOUNDARY: Final = re.compile(r"\n(?:---|\.\.\.)(?=[ \t\r\n]|\Z)")
# Possessive: with backtracking a file of empty lines would take gigabytes.
_DIRECTIVE: Final = re.compile(r"(?:[ \t]*+(?:#[^\n]*+)?+\r?+\n)*+%([^\n]*+)")
_VERSION: Final = re.compile(r"YAML[ \t]+1\.[12][ \t\r]*(?:#.*)?")
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The text of at most one document, and how many lines of its file come before it."""

    file: str
    text: str
    lines_before: int


def decode_text(content: bytes, faults: FileFaults) -> str:
    """UTF-8 to text with every unwanted character replaced, so that lines and columns stay true.

    A leading byte order mark is dropped. What is not UTF-8, or full of such characters, comes back empty.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        _report_encoding(content, error.start, faults)
        return ""
    text = text.removeprefix("\ufeff")
    unix_lines = b"\r" not in content
    if content.isascii() and unix_lines and not content.translate(None, _ALLOWED_BYTES):
        return text
    return _replace_unwanted(text, faults)


def split_documents(text: str, file: str, faults: FileFaults) -> Iterator[Chunk]:
    """Chunks in file order; a `%YAML` line is dropped, other directives are faults."""
    start = lines = 0
    for boundary in _BOUNDARY.finditer(text):
        cut = boundary.start() + 1
        if text[cut] == ".":
            cut = text.find("\n", cut) + 1 or len(text)
        yield from _chunk(Chunk(file, text[start:cut], lines), faults)
        lines += text.count("\n", start, cut)
        start = cut
    yield from _chunk(Chunk(file, text[start:], lines), faults)


def _chunk(chunk: Chunk, faults: FileFaults) -> Iterator[Chunk]:
    if not chunk.text:
        return
    directive = _DIRECTIVE.match(chunk.text)
    if directive is None:
        yield chunk
    elif not _VERSION.fullmatch(directive[1]):
        line = chunk.lines_before + chunk.text.count("\n", 0, directive.end()) + 1
        faults.add(line, 1, "YAML directives are not supported", "remove this line; manifests need none")


def _report_encoding(content: bytes, offset: int, faults: FileFaults) -> None:
    line = content.count(b"\n", 0, offset) + 1
    column = offset - content.rfind(b"\n", 0, offset)
    if content.startswith(_UTF16_MARKS):
        faults.add(1, 1, "the file is UTF-16", "save it as UTF-8")
    else:
        faults.add(line, column, f"byte {content[offset]:#04x} is not UTF-8", "save the file as UTF-8")


def _replace_unwanted(text: str, faults: FileFaults) -> str:
    line, counted = 1, 0
    for found in _UNWANTED.finditer(text):
        if faults.full:
            return ""
        line += text.count("\n", counted, found.start())
        counted = found.start()
        faults.add(line, found.start() - text.rfind("\n", 0, found.start()), *_explain(found[0]))
    return _UNWANTED.sub(_STAND_IN, text)


def _explain(character: str) -> tuple[str, str]:
    if character == "\r":
        return "a carriage return stands alone", "save the file with LF or CRLF line ends"
    name = f"U+{ord(character):04X}"
    if character == "\ufeff":
        return f"a byte order mark ({name}) stands inside the file", "remove it"
    if character == "\0":
        return "a NUL character (U+0000) cannot stand in a manifest", "remove it; is this a YAML file?"
    return (
        f"the character {name} cannot stand in a manifest",
        f'remove it, or write "{_escape(character)}" in double quotes',
    )


def _escape(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}"
