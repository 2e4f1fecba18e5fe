"""What was parsed from many small directories, kept for as long as their names, files and times stay the same.

The facts of storage use it, so that reading ten thousand records again costs two stat calls for each.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from nodeagent.formats.files import open_inner

T = TypeVar("T")
SETTLE_S = 2.0
"""Times of file systems are coarse (4 ms to 2 s): what was read so long after a time was first seen is kept."""

_Print = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    value: T
    names: tuple[str, ...]
    prints: tuple[_Print, ...]
    seen_s: float
    read_s: float


class DirectoryCache(Generic[T]):
    """Values of the directories in one directory, by name. Not safe for several threads at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry[T]] = {}

    def get(self, parent: int, name: str, load: Callable[[int], tuple[T, tuple[str, ...]]]) -> T:
        """The value of directory `name`: as kept, or as `load` reads it from its handle.

        load: the value, and the files that it depends on. Raises OSError and what `load` raises; keeps nothing then.
        """
        entry = self._entries.get(name)
        if entry is not None:
            prints = _prints(parent, name, entry.names)
            if prints == entry.prints and entry.read_s - entry.seen_s >= SETTLE_S:
                return entry.value
        return self._load(parent, name, load, entry)

    def keep_only(self, names: set[str]) -> None:
        """Forget directories that are not there any more."""
        for gone in self._entries.keys() - names:
            del self._entries[gone]

    def _load(
        self,
        parent: int,
        name: str,
        load: Callable[[int], tuple[T, tuple[str, ...]]],
        entry: _Entry[T] | None,
    ) -> T:
        self._entries.pop(name, None)
        now = self._clock()
        # The directory's time is taken before it is read: a change during the reading shows the next time.
        before = _print(parent, name)
        with open_inner(parent, name) as handle:
            value, names = load(handle)
        prints = (before, *_prints(parent, name, names)[1:])
        same = entry is not None and entry.prints == prints
        seen = entry.seen_s if entry is not None and same else now
        self._entries[name] = _Entry(value, names, prints, seen, now)
        return value


def _prints(parent: int, name: str, names: tuple[str, ...]) -> tuple[_Print, ...]:
    try:
        return (_print(parent, name), *(_print(parent, f"{name}/{file}") for file in names))
    except OSError:
        return ()


def _print(parent: int, path: str) -> _Print:
    found = os.stat(path, dir_fd=parent, follow_symlinks=False)
    return found.st_ino, found.st_mtime_ns, found.st_size
