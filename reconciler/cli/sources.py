"""Manifests that are read again when their files change; the last ones without errors count. `run` calls it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from reconciler.cli.loading import load_manifests
from reconciler.desired.places import Places
from reconciler.model.desired import Desired
from reconciler.problems import Problem, has_errors

Signature = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change (ns) of every file."""


class WatchedManifests:
    """What the files under some paths declare. complain: is given the problems of each reading."""

    def __init__(self, paths: Sequence[str], complain: Callable[[Sequence[Problem]], None]) -> None:
        self._paths = list(paths)
        self.complain = complain
        self._signature: Signature | None = None
        self._accepted: Mapping[str, Desired] = {}
        self.places = Places(())
        """Where the fields of the manifests stand that were accepted last."""

    def read(self) -> Mapping[str, Desired]:
        """Desired state by data center id, read anew if a file changed. Equal declarations stay the same value."""
        signature = tuple(sorted(_sign(self._paths)))
        if signature != self._signature:
            self._signature = signature
            loaded = load_manifests(self._paths)
            self.complain(loaded.problems)
            if not has_errors(loaded.problems):
                self.places = loaded.places
                self._accepted = {
                    name: self._accepted[name] if self._accepted.get(name) == one else one
                    for name, one in loaded.desired.items()
                }
        return self._accepted


class Center:
    """One data center of watched manifests."""

    def __init__(self, manifests: WatchedManifests, name: str) -> None:
        self._manifests = manifests
        self._name = name

    def current(self) -> Desired | None:
        """Its desired state as last accepted."""
        return self._manifests.read().get(self._name)


def _sign(paths: Sequence[str]) -> Iterator[tuple[str, int, int, int]]:
    """Marks of every file, without reading it. What is gone or out of reach has none: that is a change too."""
    for path in paths:
        files = [Path(path)]
        for directory, _, names in os.walk(path):
            files += [Path(directory) / name for name in names]
        for file in files:
            try:
                found = file.stat()
            except OSError:
                continue
            yield str(file), found.st_ino, found.st_size, found.st_mtime_ns
