"""Trees turned into documents: one mapping per object, `List` kinds taken apart.

A document is what the schema stage validates; it knows the place of each of its fields.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from reconciler.desired.read.faults import FileFaults
from reconciler.desired.read.marks import Position, Step, find_mark
from reconciler.desired.read.scalars import Value
from reconciler.desired.read.texts import Chunk
from reconciler.desired.read.trees import Tree
from reconciler.problems import Problem, Where

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_PREFACE: Final = re.compile(r"(?:(?:---)?[ \t]*(?:#[^\n]*)?\r?\n)*")
_NAMES: Final = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a manifest file.

    `digest` is the SHA-256 of its value in canonical JSON: comments, layout and the order of keys
    do not change it. `sound` is False if the reader reported faults in it; then values may be missing
    or None. If it is still `whole`, the faults are refused keys: the other values stand as written, else
    only its kind and name are worth looking at.
    """

    file: str
    value: dict[str, Value]
    digest: str
    sound: bool
    whole: bool
    _chunk: Chunk = field(repr=False, compare=False)
    _base: tuple[Step, ...] = field(default=(), repr=False, compare=False)

    @property
    def start(self) -> Where:
        """The line on which the object starts, found without parsing: cheap enough for every object."""
        if self._base:
            return self.where()
        preface = _PREFACE.match(self._chunk.text)
        lines = preface[0].count("\n") if preface else 0
        return Where(self.file, self._chunk.lines_before + lines + 1, 1)

    def where(self, path: Sequence[Step] = ()) -> Where:
        """The place of the key (or list item) at a path of keys and indexes.

        A path that does not exist gives its nearest ancestor, `()` the start of the object. The text
        is parsed again for this: use it for problems only.
        """
        return self._place(find_mark(self._chunk, (*self._base, *path)).key)

    def where_value(self, path: Sequence[Step] = ()) -> Where:
        """The place of the value at a path, else as `where`."""
        return self._place(find_mark(self._chunk, (*self._base, *path)).value)

    def _place(self, position: Position) -> Where:
        line, column = position
        return Where(self.file, self._chunk.lines_before + line, column)


@dataclass(frozen=True, slots=True)
class Manifests:
    """All documents in the order read, and all problems met on the way."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


def collect_documents(tree: Tree, chunk: Chunk, faults: FileFaults) -> Iterator[Document]:
    """The documents of one tree; an empty tree has none, anything but mappings is a fault."""
    yield from _collect(tree.value, tree, chunk, (), faults)


def _collect(
    value: Value, tree: Tree, chunk: Chunk, base: tuple[Step, ...], faults: FileFaults
) -> Iterator[Document]:
    if isinstance(value, dict):
        if value.get("kind") == "List" or _is_typed_list(value):
            yield from _collect_items(value, tree, chunk, base, faults)
        else:
            digest = hashlib.sha256(_ENCODER.encode(value)).hexdigest()
            yield Document(chunk.file, value, digest, tree.sound, tree.whole, chunk, base)
    elif tree.sound and (value is not None or base):
        line, column = find_mark(chunk, base).value
        name = _NAMES.get(type(value), "nothing")
        detail = "write a mapping with apiVersion, kind and metadata"
        faults.add(chunk.lines_before + line, column, f"an object is expected here, not {name}", detail)


def _is_typed_list(value: dict[str, Value]) -> bool:
    kind = value.get("kind")
    return isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list)


def _collect_items(
    value: dict[str, Value], tree: Tree, chunk: Chunk, base: tuple[Step, ...], faults: FileFaults
) -> Iterator[Document]:
    items = value.get("items")
    if isinstance(items, list):
        for index, item in enumerate(items):
            yield from _collect(item, tree, chunk, (*base, "items", index), faults)
    elif tree.sound:
        line, column = find_mark(chunk, (*base, "items")).key
        faults.add(
            chunk.lines_before + line, column, "a List has no list of items", "write 'items:' with a list"
        )
