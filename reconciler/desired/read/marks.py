"""Where the keys and values of a chunk stand, found by parsing it once more.

Positions are wanted only for problems, which are few; keeping them for all values would cost more
memory than the values. Called by `Document.where` and for the first place of a duplicate key.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from yaml._yaml import CParser
from yaml.error import YAMLError
from yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from reconciler.desired.read.limits import MAX_DEPTH, MAX_EVENTS_PER_FILE
from reconciler.desired.read.texts import Chunk

Step = str | int
Position = tuple[int, int]


class Mark(NamedTuple):
    """Positions of an entry (line and column from 1, within the chunk) and of the entries inside it."""

    key: Position
    value: Position
    inside: "dict[Step, Mark]"


def find_mark(chunk: Chunk, path: Sequence[Step]) -> Mark:
    """The mark at the path, or at its nearest ancestor that exists."""
    mark = _read_marks(chunk)
    for step in path:
        inner = mark.inside.get(step)
        if inner is None:
            break
        mark = inner
    return mark


class _Box:
    """An open mapping or list while its marks are read."""

    __slots__ = ("inside", "is_mapping", "pending")

    def __init__(self, inside: dict[Step, Mark], is_mapping: bool) -> None:
        self.inside = inside
        self.is_mapping = is_mapping
        self.pending: tuple[Step | None, Position] | None = None

    def place(self, name: str | None, at: Position) -> dict[Step, Mark]:
        """Take a node as key or as entry; what is returned receives the marks inside it."""
        inside: dict[Step, Mark] = {}
        if not self.is_mapping:
            self.inside[len(self.inside)] = Mark(at, at, inside)
        elif self.pending is None:
            self.pending = (name, at)
        else:
            key, key_at = self.pending
            self.pending = None
            if key is not None:
                self.inside.setdefault(key, Mark(key_at, at, inside))
        return inside


# One entry: problems come document by document, and a large one must not be parsed for each of them.
@lru_cache(maxsize=1)
def _read_marks(chunk: Chunk) -> Mark:
    documents: dict[Step, Mark] = {}
    stack = [_Box(documents, is_mapping=False)]
    next_event = CParser(chunk.text).get_event
    try:
        for _ in range(MAX_EVENTS_PER_FILE):
            event = next_event()
            if event is None or len(stack) > MAX_DEPTH + 1:
                break
            _follow(event, stack)
    except YAMLError:
        pass  # reported where the tree was built; the marks up to here are good
    return documents.get(0) or Mark((1, 1), (1, 1), {})


def _follow(event: Event, stack: list[_Box]) -> None:
    if isinstance(event, NodeEvent) and event.start_mark is not None:
        at = (event.start_mark.line + 1, event.start_mark.column + 1)
        name = event.value if isinstance(event, ScalarEvent) else None
        inside = stack[-1].place(name, at)
        if isinstance(event, CollectionStartEvent):
            stack.append(_Box(inside, isinstance(event, MappingStartEvent)))
    elif isinstance(event, CollectionEndEvent):
        stack.pop()
