"""A chunk of YAML text turned into plain dicts, lists and scalars, from libyaml's events.

Events, because composing crashes on deep nesting and takes three times as long. The loop runs once
for each of a million events, so it is written out; everything unusual leaves it for a method.
"""

from dataclasses import dataclass
from typing import Final

from yaml._yaml import CParser
from yaml.error import YAMLError
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from reconciler.desired.read.faults import FileFaults
from reconciler.desired.read.limits import MAX_DEPTH
from reconciler.desired.read.refusals import Outer, Refusals
from reconciler.desired.read.scalars import Scalar, ScalarError, Value, resolve_plain
from reconciler.desired.read.syntax import report_syntax
from reconciler.desired.read.texts import Chunk

_MEMO_ENTRIES: Final = 20_000
_MEMO_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Tree:
    """The value of a chunk; not sound if faults were found in it, then values may be missing.

    `whole` is True as well if all faults are refused keys: what is there stands as written, though
    something may be missing. `events` counts what was taken from the parser, `complete` is False if the budget ended first.
    """

    value: Value
    sound: bool
    whole: bool
    events: int
    complete: bool


class TreeBuilder:
    """Builds trees; keys and short plain values are remembered across chunks and shared."""

    __slots__ = ("_keys", "_plains")

    def __init__(self) -> None:
        self._keys: dict[Scalar, str] = {}
        self._plains: dict[str, Scalar] = {}

    def build(self, chunk: Chunk, budget: int, faults: FileFaults) -> Tree:
        """The tree of a chunk, taking at most `budget` events; what is wrong goes to `faults`."""
        if max(len(self._keys), len(self._plains)) > _MEMO_ENTRIES:
            self._keys.clear()
            self._plains.clear()
        return _TreeBuild(chunk, faults, self._keys, self._plains).run(budget)


class _TreeBuild:
    """One chunk being built: what is open, and the slow ways out of the loop."""

    __slots__ = ("chunk", "events", "faults", "keys", "plains", "refusals", "roots", "stack")

    def __init__(
        self, chunk: Chunk, faults: FileFaults, keys: dict[Scalar, str], plains: dict[str, Scalar]
    ) -> None:
        self.chunk = chunk
        self.faults = faults
        self.keys = keys
        self.plains = plains
        self.roots: list[Value] = []
        self.stack: list[Outer] = []
        self.refusals = Refusals(chunk, faults, self.roots, self.stack)
        self.events = 0

    def run(self, budget: int) -> Tree:
        sound = whole = complete = True
        try:
            complete = self.take_events(budget)
        except YAMLError as error:
            sound = whole = False
            report_syntax(error, self.chunk, self.faults)
        if not self.refusals.sound:
            sound = False
            self.refusals.drop_refused()
        whole = whole and complete and self.refusals.whole
        return Tree(self.roots[0] if self.roots else None, sound, whole, self.events, complete)

    def take_events(self, budget: int) -> bool:  # noqa: PLR0912  a call per event would cost a third more
        """Build until the chunk ends (True), nesting is too deep (True) or the budget is spent."""
        keys, plains, stack = self.keys, self.plains, self.stack
        mapping: dict[str, Value] | None = None
        items, key = self.roots, None
        value: Scalar
        next_event = CParser(self.chunk.text).get_event
        for self.events in range(1, budget + 1):
            event = next_event()
            if isinstance(event, ScalarEvent):
                text = event.value
                if text in plains and not event.style and event.tag is None and event.anchor is None:
                    value = plains[text]
                else:
                    value = self.read_scalar(event, key)
            elif isinstance(event, CollectionStartEvent):
                inner: dict[str, Value] | list[Value] = {} if isinstance(event, MappingStartEvent) else []
                stack.append((mapping, items, self.open_container(event, inner, mapping, items, key)))
                if len(stack) > MAX_DEPTH:
                    self.refusals.refuse_depth(event)
                    return True
                key = None
                if isinstance(inner, dict):
                    mapping = inner
                else:
                    mapping, items = None, inner
                continue
            elif isinstance(event, CollectionEndEvent):
                mapping, items, key = stack.pop()
                continue
            elif isinstance(event, AliasEvent):
                self.refusals.refuse_alias(event, key)
                value = None
            elif event is None:
                return True
            else:
                continue
            if mapping is None:
                items.append(value)
            elif key is not None:
                mapping[key] = value
                key = None
            else:
                key = keys.get(value)
                if key is None or key in mapping:
                    key = self.take_key(event, value, mapping)
        return False

    def read_scalar(self, event: ScalarEvent, key: str | None) -> Scalar:
        """The value of a scalar that is quoted, new or wrong; None where it is refused."""
        self.refusals.refuse_properties(event, event.tag, key)
        text = event.value
        if event.style:
            if "\0" not in text:
                return text
            self.refusals.refuse(event, "the text holds a NUL character", "remove the \\0", key)
            return None
        try:
            value = resolve_plain(text)
        except ScalarError as error:
            self.refusals.refuse(event, error.summary, error.detail, key)
            return None
        if len(text) <= _MEMO_LENGTH:
            self.plains[text] = value
        return value

    def open_container(
        self,
        event: CollectionStartEvent,
        inner: dict[str, Value] | list[Value],
        mapping: dict[str, Value] | None,
        items: list[Value],
        key: str | None,
    ) -> str | None:
        """Put a new container in its place; the key that waits when it closes, if it is itself a key."""
        self.refusals.refuse_properties(event, event.tag, key)
        if mapping is None:
            items.append(inner)
        elif key is not None:
            mapping[key] = inner
        else:
            after = self.refusals.refuse_complex_key(event, mapping)
            mapping[after] = inner
            return after
        return None

    def take_key(self, event: NodeEvent, value: Scalar, mapping: dict[str, Value]) -> str:
        """The key to file the next value under: new, or a stand-in for a refused one."""
        if not isinstance(value, str) or value == "<<" or value in mapping:
            return self.refusals.refuse_key(event, value, mapping)
        self.keys[value] = value
        return value
