"""Paths turned into the bytes of manifest files, one file at a time.

Called by the reader. Special files are refused without opening them, links that leave a named
directory are refused, and each real file is read once however often it is named.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from reconciler.desired.read.limits import MAX_FILE_BYTES, MAX_FILES
from reconciler.desired.read.shown import shown_path
from reconciler.problems import Problem, Where

STDIN: Final = "-"
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_NAME_TARGET: Final = "name its target as a path of its own, or copy it here"


@dataclass(frozen=True, slots=True)
class Source:
    """One file's name, as the user gave it and safe to show, and its bytes."""

    name: str
    content: bytes


def read_sources(paths: Sequence[str], stdin: BinaryIO | None) -> Iterator[Source | Problem]:
    """The files that the paths name, in their order, directories sorted by name; problems in between."""
    reading = _Reading()
    for path in dict.fromkeys(paths):
        if path == STDIN:
            yield _read_stdin(stdin)
        else:
            yield from reading.read_path(path)


def _problem(name: str, summary: str, detail: str) -> Problem:
    return Problem(summary=summary, detail=detail, where=Where(shown_path(name), 1, 1))


def _failure(name: str, error: OSError) -> Problem:
    reason = (error.strerror or "it cannot be read").lower()
    return _problem(name, f"cannot read this: {reason}", "check the path and its permissions")


def _read_stdin(stdin: BinaryIO | None) -> Source | Problem:
    if stdin is None:
        return _problem(STDIN, "standard input is not available here", "name a file or a directory")
    try:
        content = stdin.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return _failure(STDIN, error)
    return _too_large(STDIN) if len(content) > MAX_FILE_BYTES else Source(STDIN, content)


def _read_file(name: str, path: str) -> Source | Problem:
    """Read a regular file; a device or pipe must not even be opened, for that can block or act."""
    try:
        size = _regular_size(os.stat(path))  # noqa: PTH116  a Path for each of 10 000 files is dear
        if size is None:
            return _problem(name, "this is not a regular file", "name a file, or use '-' and a pipe")
        if size > MAX_FILE_BYTES:
            return _too_large(name)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            same = _regular_size(os.fstat(descriptor)) == size
            content = stream.read(size + 1) or b""
    except OSError as error:
        return _failure(name, error)
    if not same or len(content) != size:
        return _problem(name, "the file changed while it was read", "read it again when it is complete")
    return Source(shown_path(name), content)


def _regular_size(status: os.stat_result) -> int | None:
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _too_large(name: str) -> Problem:
    return _problem(
        name, f"the file is larger than {MAX_FILE_BYTES // 1024**2} MiB", "split it into several files"
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A manifest or directory below a named directory: its name to show and its real path."""

    name: str
    real: str
    is_directory: bool


class _Reading:
    """Files and directories already read, by their real paths."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def read_path(self, path: str) -> Iterator[Source | Problem]:
        """One path that the user named."""
        if not path or "\0" in path:
            yield _problem(path, "this cannot be a path", "name a file, a directory or '-'")
            return
        try:
            real = os.path.realpath(path, strict=True)
        except OSError as error:
            yield _failure(path, error)
            return
        if Path(real).is_dir():
            yield from self._read_directory(path, real)
        elif self._is_new(real):
            yield _read_file(path, real)

    def _is_new(self, real: str) -> bool:
        """Whether this real path is met for the first time; bounds the number of files too."""
        if real in self._seen:
            return False
        self._seen.add(real)
        return True

    def _read_directory(self, name: str, root: str) -> Iterator[Source | Problem]:
        found = False
        for step in self._walk(name, root):
            found = True
            if isinstance(step, Problem):
                yield step
            elif self._is_new(step.real):
                if len(self._seen) > MAX_FILES:
                    yield _problem(name, f"more than {MAX_FILES} files are named", "name fewer directories")
                    return
                yield _read_file(step.name, step.real)
        if not found:
            detail = f"name a directory with files that end in {', '.join(_SUFFIXES)}"
            yield _problem(name, "this directory holds no manifests", detail)

    def _walk(self, name: str, root: str) -> Iterator[_Entry | Problem]:
        """Every manifest below, depth first, sorted by name in each directory."""
        todo = [_Entry(name, root, is_directory=True)]
        while todo:
            entry = todo.pop()
            if not entry.is_directory:
                yield entry
            elif self._is_new(entry.real):
                try:
                    found = list(_list_entries(entry, root))
                except OSError as error:
                    yield _failure(entry.name, error)
                    continue
                yield from (problem for problem in found if isinstance(problem, Problem))
                todo.extend(inner for inner in reversed(found) if isinstance(inner, _Entry))


def _list_entries(directory: _Entry, root: str) -> Iterator[_Entry | Problem]:
    """The manifests and directories in a directory, sorted; hidden ones are left out."""
    with os.scandir(directory.real) as listing:
        inside = sorted(
            (item for item in listing if not item.name.startswith(".")), key=lambda item: item.name
        )
    for item in inside:
        name = f"{directory.name.rstrip('/')}/{item.name}"
        real = f"{directory.real.rstrip('/')}/{item.name}"
        is_manifest = item.name.lower().endswith(_SUFFIXES)
        try:
            is_directory = item.is_dir()
            if item.is_symlink() and (is_directory or is_manifest):
                real = os.path.realpath(real, strict=True)
        except OSError as error:
            if is_manifest:
                yield _failure(name, error)
            continue
        if not is_directory and not is_manifest:
            continue
        if real != root and not real.startswith(f"{root.rstrip('/')}/"):
            yield _problem(name, "this link leads out of the named directory", _NAME_TARGET)
        else:
            yield _Entry(name, real, is_directory)
