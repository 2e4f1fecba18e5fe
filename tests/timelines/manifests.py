"""Manifests of a timeline: shared base files and objects of its own, edited field by field while time goes on."""

import copy
import io
from typing import Any

import yaml

from reconciler.desired.build import build_desired
from reconciler.desired.read import read_paths
from reconciler.model.desired import Desired
from reconciler.model.names import PREFIXES, Kind
from reconciler.problems import has_errors
from tests.scenarios.manifests import BASES, CaseError


class Manifests:
    """Documents of one data center. Read as `ostler plan -f -` reads them, whenever they have changed."""

    def __init__(self, bases: list[str], objects: list[dict[str, Any]]) -> None:
        shared = [one for name in bases for one in yaml.safe_load_all((BASES / f"{name}.yaml").read_text())]
        own = {_identify(one) for one in objects}
        self._documents = [one for one in shared if _identify(one) not in own] + copy.deepcopy(objects)
        self._desired: Desired | None = None

    def desired(self) -> Desired:
        """The data center as declared now."""
        if self._desired is None:
            self._desired = self._read()
        return self._desired

    def edit(self, name: str, assignment: str) -> None:
        """`memory=2Gi`: a field of an object's spec gets another value. Raises CaseError."""
        field, _, value = assignment.partition("=")
        self._find(name).setdefault("spec", {})[field] = yaml.safe_load(value)
        self._desired = None

    def remove(self, name: str) -> None:
        """An object is left out."""
        self._documents.remove(self._find(name))
        self._desired = None

    def _find(self, name: str) -> dict[str, Any]:
        for document in self._documents:
            if _identify(document) == name:
                return document
        raise CaseError(f"no manifest of {name}")

    def _read(self) -> Desired:
        text = yaml.dump_all(self._documents, Dumper=yaml.CSafeDumper, sort_keys=False)
        manifests = read_paths(["-"], io.BytesIO(text.encode()))
        centers, problems = build_desired(manifests.documents)
        found = (*manifests.problems, *problems)
        if has_errors(found) or len(centers) != 1:
            raise CaseError(f"these manifests do not declare one data center: {[str(one) for one in found]}")
        return next(iter(centers.values()))


def _identify(document: dict[str, Any]) -> str:
    """`vm/web-1`."""
    return f"{PREFIXES[Kind(document['kind'])]}/{document['metadata']['name']}"
