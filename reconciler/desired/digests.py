"""Digests of declared objects: what is declared, without where it stands.

Fields at their default are left out, so that a schema that learns a new field leaves old digests alone.
Called by `convert` for each object.
"""

import hashlib
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from reconciler.model import desired as model

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_NOT_DECLARED: Final = frozenset({"digest", "where"})
_SCALARS: Final = frozenset(
    {str, int, bool, type(None), model.RunPolicy, model.RestartPolicy, model.Mobility}
)


class _Shape(NamedTuple):
    names: tuple[str, ...]
    defaults: tuple[Any, ...]
    read: Callable[[Any], tuple[Any, ...]]


def digest_declared(declared: object, belongs_to: str | None) -> str:
    """SHA-256, in hex, of an object of `reconciler.model.desired` and of the id that it belongs to."""
    return hashlib.sha256(_ENCODER.encode((belongs_to, _content(declared)))).hexdigest()


def _content(declared: object) -> dict[str, Any]:
    """The fields of a dataclass that are not at their default; scalars are dealt with in place for speed."""
    cls: type = declared.__class__
    names, defaults, read = _shape(cls)
    return {
        name: value if value.__class__ in _SCALARS else _nested(value)
        for name, value, default in zip(names, read(declared), defaults, strict=True)
        if value is not default and value != default
    }


def _nested(value: Any) -> Any:
    if isinstance(value, tuple):
        return [item if item.__class__ in _SCALARS else _content(item) for item in value]
    return _content(value)


@cache
def _shape(cls: type) -> _Shape:
    declared = [field for field in fields(cls) if field.name not in _NOT_DECLARED]
    names = tuple(field.name for field in declared)
    defaults = tuple(
        field.default if field.default_factory is MISSING else field.default_factory() for field in declared
    )
    if len(names) == 1:
        only = attrgetter(names[0])
        return _Shape(names, defaults, lambda value: (only(value),))
    return _Shape(names, defaults, attrgetter(*names))
