"""Plain YAML scalars turned into values by the core schema of YAML 1.2.

So `yes`, `off`, `0777`, `1:30` and dates stay text: the schema of the field says what it expects.
"""

import math
import re
from typing import Final

from reconciler.desired.read.shown import shown

Scalar = str | int | float | bool | None
Value = dict[str, "Value"] | list["Value"] | Scalar

_CONSTANTS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMBER_STARTS: Final = frozenset("0123456789+-.")
# A leading zero is text: YAML 1.1 reads 0777 as octal and YAML 1.2 as decimal, so neither is safe.
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED_INTEGER: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_DIGITS: Final = 64
_MAX_INT64: Final = 2**63 - 1


class ScalarError(ValueError):
    """A plain scalar that is a number, but not one that a manifest can hold."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail


def resolve_plain(text: str) -> Scalar:
    """The value of a plain scalar; raises ScalarError for numbers that are not finite or beyond 64 bits."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INTEGER.fullmatch(text):
        return _resolve_integer(text, base=10)
    if _BASED_INTEGER.fullmatch(text):
        return _resolve_integer(text, base=0)
    if _FLOAT.fullmatch(text):
        return _resolve_float(text)
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError(
            f"{text} is not a finite number", "write a finite number, or quote it if it is text"
        )
    return text


def _resolve_integer(text: str, base: int) -> int:
    if len(text) <= _MAX_DIGITS:
        number = int(text, base)
        if -_MAX_INT64 - 1 <= number <= _MAX_INT64:
            return number
    raise ScalarError(f"the integer {shown(text, 32)} is beyond 64 bits", "quote it if it is text")


def _resolve_float(text: str) -> float:
    if len(text) <= _MAX_DIGITS:
        number = float(text)
        if math.isfinite(number):
            return number
    raise ScalarError(f"the number {shown(text, 32)} is too large or too long", "quote it if it is text")
