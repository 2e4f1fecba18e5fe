"""Paths turned into manifests: the one way into this package.

Each file is decoded, split into documents and built into trees; every fault becomes a problem and
the reading goes on, so that all of them are shown at once.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from reconciler.desired.read.documents import Document, Manifests, collect_documents
from reconciler.desired.read.faults import FileFaults
from reconciler.desired.read.files import Source, read_sources
from reconciler.desired.read.limits import MAX_EVENTS_PER_FILE
from reconciler.desired.read.texts import decode_text, split_documents
from reconciler.desired.read.trees import TreeBuilder
from reconciler.problems import Problem, Severity, Where


def read_paths(paths: Sequence[str], stdin: BinaryIO | None) -> Manifests:
    """All documents that the paths hold, and every problem met while reading them.

    A path is a file, a directory (all `.yaml`, `.yml` and `.json` below it, in order of name, hidden
    ones skipped) or `-` for `stdin`. Refuses, as problems: what is not a regular file, more than
    64 MiB or 1 000 000 YAML events in a file, more than 64 levels, aliases, anchors, tags, merge
    keys, keys that are not text, duplicate keys. Raises nothing for bad input.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    builder = TreeBuilder()
    for source in read_sources(paths, stdin):
        if isinstance(source, Problem):
            problems.append(source)
        else:
            faults = FileFaults(source.name)
            before = len(documents)
            documents.extend(_read_documents(source, builder, faults))
            found = faults.problems()
            if len(documents) == before and not found:
                found = (_empty(source),)
            problems.extend(found)
    return Manifests(tuple(documents), tuple(problems))


def _read_documents(source: Source, builder: TreeBuilder, faults: FileFaults) -> Iterator[Document]:
    budget = MAX_EVENTS_PER_FILE
    text = decode_text(source.content, faults)
    for chunk in split_documents(text, source.name, faults):
        tree = builder.build(chunk, budget, faults)
        budget -= tree.events
        if not tree.complete or budget <= 0:
            limit = f"the file holds more than {MAX_EVENTS_PER_FILE} YAML events"
            faults.add(chunk.lines_before + 1, 1, limit, "split it into several files")
            return
        yield from collect_documents(tree, chunk, faults)


def _empty(source: Source) -> Problem:
    return Problem(
        summary="this file holds no objects",
        detail="remove it, or see whether it was cut short",
        where=Where(source.name, 1, 1),
        severity=Severity.WARNING,
    )
