"""What manifests may not hold although it is YAML, said with its place and path.

The slow side of building a tree: entered only for what is wrong.
"""

from typing import Final

from yaml.events import AliasEvent, Event, NodeEvent, ScalarEvent

from reconciler.desired.read.faults import FileFaults
from reconciler.desired.read.limits import MAX_DEPTH
from reconciler.desired.read.marks import find_mark
from reconciler.desired.read.scalars import Scalar, Value
from reconciler.desired.read.shown import shown
from reconciler.desired.read.texts import Chunk

# Takes the value of a refused key until the tree is done; no accepted key can contain NUL.
REFUSED_KEY: Final = "\0"
_QUOTE: Final = "quote it if it is text"
_QUOTE_KEY: Final = "keys are text: put it in quotes"

Outer = tuple[dict[str, Value] | None, list[Value], str | None]


class Refusals:
    """Records the faults of one tree.

    `roots` and `stack` are the builder's own and tell where it stands: each entry of the stack is an
    open container's outer, its mapping or else its items, and the key that waits there.
    """

    __slots__ = ("_chunk", "_faults", "_roots", "_stack", "sound", "whole")

    def __init__(self, chunk: Chunk, faults: FileFaults, roots: list[Value], stack: list[Outer]) -> None:
        self._chunk = chunk
        self._faults = faults
        self._roots = roots
        self._stack = stack
        self.sound = self.whole = True

    def refuse(self, event: Event, summary: str, detail: str, key: str | None = None) -> None:
        """Record a fault in the open container, or in its entry whose key waits for a value."""
        self.whole = False
        self._record(event, summary, detail, key)

    def _record(self, event: Event, summary: str, detail: str, key: str | None = None) -> None:
        self.sound = False
        mark = event.start_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        field = "" if self._faults.full else self._shown_path(key)
        self._faults.add(self._chunk.lines_before + line + 1, column + 1, summary, detail, field)

    def refuse_properties(self, event: NodeEvent, tag: str | None, key: str | None) -> None:
        """Refuse an anchor and a tag, where there is one."""
        if event.anchor is not None:
            detail = f"write the value out in each place that needs it, or {_QUOTE}"
            self.refuse(event, f"anchors (&{shown(event.anchor)}) are not supported", detail, key)
        if tag is not None:
            name = shown(tag.replace("tag:yaml.org,2002:", "!!"))
            self.refuse(event, f"tags ({name}) are not supported", f"remove the tag, or {_QUOTE}", key)

    def refuse_alias(self, event: AliasEvent, key: str | None) -> None:
        """Refuse an alias, which without anchors names nothing."""
        summary = f"aliases (*{shown(event.anchor or '')}) are not supported"
        self.refuse(event, summary, f"write the value out here, or {_QUOTE}", key)

    def refuse_depth(self, event: NodeEvent) -> None:
        """Refuse nesting that no manifest needs."""
        self.refuse(event, f"nesting is deeper than {MAX_DEPTH} levels", "make it flatter")

    def refuse_key(self, event: NodeEvent, value: Scalar, mapping: dict[str, Value]) -> str:
        """Refuse a scalar key: not text, a merge, or given before; the stand-in for it."""
        if not isinstance(value, str):
            name = shown(event.value) if isinstance(event, ScalarEvent) else ""
            summary, detail = f"the key '{name}' is not text", _QUOTE_KEY
        elif value == "<<":
            summary, detail = "merge keys (<<) are not supported", "write the fields out here"
        else:
            summary, detail = (
                f"the key '{shown(value)}' is given twice{self._first(value)}",
                "keep one of them",
            )
        self._record(event, summary, detail)
        mapping.pop(REFUSED_KEY, None)
        return REFUSED_KEY

    def refuse_complex_key(self, event: NodeEvent, mapping: dict[str, Value]) -> str:
        """Refuse a list or mapping as key; the stand-in for it."""
        self.refuse(event, "a key cannot be a list or a mapping", _QUOTE_KEY)
        mapping.pop(REFUSED_KEY, None)
        return REFUSED_KEY

    def drop_refused(self) -> None:
        """Remove what refused keys have left in the tree."""
        nodes = list(self._roots)
        while nodes:
            node = nodes.pop()
            if isinstance(node, dict):
                node.pop(REFUSED_KEY, None)
                nodes.extend(node.values())
            elif isinstance(node, list):
                nodes.extend(node)

    def _first(self, key: str) -> str:
        if self._faults.full:
            return ""
        line, _ = find_mark(self._chunk, (*self._open_path(), key)).key
        return f", the first time in line {line + self._chunk.lines_before}"

    def _shown_path(self, key: str | None) -> str:
        path = self._open_path() if key is None else [*self._open_path(), key]
        return ".".join("?" if step == REFUSED_KEY else shown(str(step)) for step in path)

    def _open_path(self) -> list[str | int]:
        """The path of the open container: always the entry last put into its outer."""
        path: list[str | int] = []
        node = self._roots[-1] if self._roots else None
        for _ in self._stack[1:]:
            if isinstance(node, dict) and node:
                key = next(reversed(node))
                path.append(key)
                node = node[key]
            elif isinstance(node, list) and node:
                path.append(len(node) - 1)
                node = node[-1]
        return path
