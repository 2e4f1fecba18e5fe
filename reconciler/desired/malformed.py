"""What can be read of an object that does not fit its schema, so that one error of it does not hide the others.

Each field is read by itself: one that is not as its own schema wants it counts as not given.
Called by `declarations` and by the checks over several objects.
"""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from reconciler.desired.paths import Path
from reconciler.desired.schema.base import NO_ANNOTATIONS, Annotations
from reconciler.desired.schema.scalars import MAC, RESOURCE_NAME, UUID
from reconciler.desired.schema.virtual_machine import CpuSpec
from reconciler.model.names import Kind, object_id
from reconciler.model.policies import BUILT_IN

_NAME: Final = re.compile(RESOURCE_NAME)
_UUID: Final = re.compile(UUID)
_MAC: Final = re.compile(MAC)

PARENT_FIELDS: Final[dict[Kind, tuple[str, Kind]]] = {
    Kind.LOGICAL_NETWORK: ("dataCenter", Kind.DATA_CENTER),
    Kind.STORAGE_DOMAIN: ("dataCenter", Kind.DATA_CENTER),
    Kind.SCHEDULING_POLICY: ("dataCenter", Kind.DATA_CENTER),
    Kind.CLUSTER: ("dataCenter", Kind.DATA_CENTER),
    Kind.HOST: ("cluster", Kind.CLUSTER),
    Kind.DISK: ("storageDomain", Kind.STORAGE_DOMAIN),
    Kind.VIRTUAL_MACHINE: ("cluster", Kind.CLUSTER),
}
"""The field by which an object of a kind belongs to another."""

OTHER_FIELDS: Final[dict[Kind, tuple[tuple[Path, Kind], ...]]] = {
    Kind.STORAGE_DOMAIN: ((("spec", "host"), Kind.HOST),),
    Kind.CLUSTER: (
        (("spec", "networks", "*"), Kind.LOGICAL_NETWORK),
        (("spec", "schedulingPolicy"), Kind.SCHEDULING_POLICY),
    ),
    Kind.HOST: ((("spec", "networks", "*", "network"), Kind.LOGICAL_NETWORK),),
    Kind.VIRTUAL_MACHINE: (
        (("spec", "disks", "*", "disk"), Kind.DISK),
        (("spec", "nics", "*", "network"), Kind.LOGICAL_NETWORK),
        (("spec", "placement", "hosts", "*"), Kind.HOST),
        (("spec", "cdrom", "storageDomain"), Kind.STORAGE_DOMAIN),
    ),
}
"""The fields that refer to something else; `*` stands for each item of a list."""


def read_parent(kind: Kind, value: object) -> str | None:
    """The id of what the object belongs to; None if it belongs to nothing, or that cannot be read."""
    if kind not in PARENT_FIELDS:
        return None
    field, target = PARENT_FIELDS[kind]
    return next((object_id(target, name) for _, name in _names(value, ("spec", field))), None)


def list_raw_references(kind: Kind, value: object, namespace: str) -> Iterator[tuple[Path, str]]:
    """Each field that names another object, and the id that it names."""
    if kind in PARENT_FIELDS:
        field, target = PARENT_FIELDS[kind]
        for path, name in _names(value, ("spec", field)):
            yield path, object_id(target, name, namespace)
    for pattern, target in OTHER_FIELDS.get(kind, ()):
        for path, name in _names(value, pattern):
            if object_id(target, name) not in BUILT_IN:
                yield path, object_id(target, name, namespace)


def read_uuid(value: object) -> str | None:
    """The object's own uuid, in lower case."""
    return next((uuid for _, uuid in _matching(value, ("spec", "uuid"), _UUID)), None)


def read_macs(value: object) -> Iterator[tuple[Path, str]]:
    """The addresses of a VM's network cards, in lower case."""
    return _matching(value, ("spec", "nics", "*", "mac"), _MAC)


def read_shown_name(value: object) -> str | None:
    """The name that people read: spec.name, else metadata.name."""
    for path in (("spec", "name"), ("metadata", "name")):
        for _, name in _expand(value, path):
            if isinstance(name, str) and name:
                return name
    return None


def read_cpu(value: object) -> CpuSpec | None:
    """A VM's CPU topology, None where none is given or it is itself malformed."""
    for _, cpu in _expand(value, ("spec", "cpu")):
        try:
            return CpuSpec.model_validate(cpu)
        except ValidationError:
            return None
    return None


def read_annotations(value: object) -> Annotations:
    """Consents and renames; none where they are themselves malformed."""
    for _, annotations in _expand(value, ("metadata", "annotations")):
        try:
            return Annotations.model_validate(annotations)
        except ValidationError:
            return NO_ANNOTATIONS
    return NO_ANNOTATIONS


def _names(value: object, pattern: Path) -> Iterator[tuple[Path, str]]:
    for path, name in _expand(value, pattern):
        if isinstance(name, str) and len(name) <= 63 and _NAME.fullmatch(name):
            yield path, name


def _matching(value: object, pattern: Path, wanted: re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    for path, text in _expand(value, pattern):
        if isinstance(text, str) and wanted.fullmatch(text):
            yield path, text.lower()


def _expand(value: object, pattern: Path, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """The values at a path in which `*` stands for each item of a list."""
    if not pattern:
        yield path, value
        return
    key, rest = pattern[0], pattern[1:]
    if key == "*" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _expand(item, rest, (*path, index))
    elif isinstance(value, dict) and key in value:
        yield from _expand(value[key], rest, (*path, key))
