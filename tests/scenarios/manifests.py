"""Manifests of a case: shared base files, of which a case's own file replaces objects. Read as `ostler plan` reads them."""

from collections.abc import Iterable
from pathlib import Path

from reconciler.desired.build import build_desired
from reconciler.desired.declarations import name_document
from reconciler.desired.read import Document, read_paths
from reconciler.model.desired import Desired
from reconciler.problems import Problem, has_errors, sort_problems

BASES = Path(__file__).parent / "bases"


class CaseError(AssertionError):
    """A case does not say what it means to say."""


def read_desired(bases: Iterable[str], own: Path | None) -> tuple[Desired | None, tuple[Problem, ...]]:
    """The one data center that the base files and the case's own file declare; None with the problems if there are errors."""
    mine = read_paths([str(own)], None) if own is not None and own.exists() else None
    replaced = {name_document(one) for one in mine.documents} if mine else set()
    shared = read_paths([str(BASES / f"{name}.yaml") for name in bases], None)
    documents: list[Document] = [one for one in shared.documents if name_document(one) not in replaced]
    documents += mine.documents if mine else ()
    centers, problems = build_desired(documents)
    found = sort_problems((*shared.problems, *(mine.problems if mine else ()), *problems))
    if has_errors(found):
        return None, found
    if len(centers) != 1:
        raise CaseError(f"a case declares one data center, not {len(centers)}")
    return next(iter(centers.values())), found
