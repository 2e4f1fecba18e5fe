"""Quantities in manifests: `256Mi`, `10Gi`, `2m` turned into bytes, MiB/s and milliseconds.

The reading itself is `reconciler.model.quantities`; here its refusals become schema errors.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, PlainValidator, WithJsonSchema

from reconciler.desired.schema.scalars import refuse
from reconciler.model.quantities import (
    QuantityError,
    parse_bandwidth,
    parse_disk_size,
    parse_duration,
    parse_memory,
)

_REMEMBERED: Final = 4096
_NAMES: Final = {
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    float: "a fraction",
    type(None): "nothing",
}


def _reader(parse: Callable[[Any], int], example: str) -> PlainValidator:
    known = lru_cache(maxsize=_REMEMBERED, typed=True)(parse)

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, str | int):
            name = _NAMES.get(type(value), "something else")
            raise refuse(f"a quantity is expected here, not {name}", f'write it like "{example}"')
        try:
            return known(value)
        except QuantityError as error:
            raise refuse(error.summary, error.detail) from None

    return PlainValidator(read)


def between(least: str, most: str, parse: Callable[[str], int] = parse_duration) -> AfterValidator:
    """Refuses quantities outside two that are given as a user would write them."""
    lowest, highest = parse(least), parse(most)

    def check(value: int) -> int:
        if not lowest <= value <= highest:
            size = "large" if value > highest else "small"
            raise refuse(f"this is too {size}", f"write {least} to {most}")
        return value

    return AfterValidator(check)


_SIZE_SCHEMA: Final = WithJsonSchema(
    {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,4}|[KMGTPE]i|[kMGTPE])?$",
    }
)
_DURATION_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": r"^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ms|s|m|h|d))+$"}
)

Memory = Annotated[int, _reader(parse_memory, "256Mi"), _SIZE_SCHEMA]
"""Bytes, whole MiB."""

DiskSize = Annotated[int, _reader(parse_disk_size, "10Gi"), _SIZE_SCHEMA]
"""Bytes, whole 4 KiB."""

Bandwidth = Annotated[int, _reader(parse_bandwidth, "52Mi"), _SIZE_SCHEMA]
"""MiB/s, written as bytes per second."""

Duration = Annotated[int, _reader(parse_duration, "2m"), _DURATION_SCHEMA]
"""Milliseconds."""
