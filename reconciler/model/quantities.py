"""Kubernetes quantities turned into integers of bytes, MiB/s and milliseconds, and bytes into text.

Exact rational arithmetic: what is not a whole number of the unit is refused with both neighbours
named, never rounded. Called by the schemas of manifests and by everything that shows sizes.
"""

import re
from fractions import Fraction
from typing import Final

KIB: Final = 1024
MIB: Final = 1024**2
MEMORY_UNIT_BYTES: Final = MIB
DISK_UNIT_BYTES: Final = 4 * KIB
MAX_QUANTITY: Final = 2**63 - 1

# Kubernetes, resource.Quantity: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = {"k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_FACTORS: Final = {
    "": 1,
    **{suffix: 1024**power for suffix, power in _BINARY.items()},
    **{suffix: 1000**power for suffix, power in _DECIMAL.items()},
}
_NUMBER: Final = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_QUANTITY: Final = re.compile(rf"\+?{_NUMBER}(?:[eE]([-+]?[0-9]{{1,4}})|([A-Za-z/]*))")
_DURATION_PART: Final = re.compile(rf"{_NUMBER}(ms|s|m|h|d)")
_MS_PER_UNIT: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_MAX_LENGTH: Final = 64


class QuantityError(ValueError):
    """Text that is no quantity of the wanted kind: what is wrong, and what to write instead."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(f"{summary}; {detail}" if detail else summary)
        self.summary = summary
        self.detail = detail


def parse_bytes(text: str | int) -> int:
    """Bytes of a quantity such as `2Gi`, `1.5G`, `1e9` or 4096, from 0 to 2^63-1.

    Raises QuantityError for other types, unknown units, thousandths (`m`), negative numbers,
    fractions of a byte and anything longer than 64 characters.
    """
    return _parse_whole(text, unit=1, unit_name="bytes")


def parse_memory(text: str | int) -> int:
    """Bytes of a size of memory; raises QuantityError if it is not whole MiB, else as parse_bytes."""
    return _parse_whole(text, MEMORY_UNIT_BYTES, "MiB")


def parse_disk_size(text: str | int) -> int:
    """Bytes of a size of a disk; raises QuantityError if it is not whole 4 KiB, else as parse_bytes."""
    return _parse_whole(text, DISK_UNIT_BYTES, "4 KiB")


def parse_bandwidth(text: str | int) -> int:
    """MiB/s of a quantity of bytes per second such as `100Mi`; raises QuantityError as parse_memory."""
    return _parse_whole(text, MIB, "MiB per second") // MIB


def format_duration(milliseconds: int) -> str:
    """A duration in whole seconds, rounded up: `14s`, `1m20s`, `5m`."""
    seconds = -(-milliseconds // 1000)
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def parse_duration(text: str) -> int:
    """Milliseconds of a duration such as `30s`, `5m`, `2h30m`, `1.5h`, `500ms` or `7d`.

    Units stand in falling order, each at most once. Raises QuantityError for other types, numbers
    without a unit, negative durations, fractions of a millisecond and more than 2^63-1 ms.
    """
    if not isinstance(text, str):
        raise QuantityError(f"{_quote(text)} is not a duration", _example(text))
    parts = _split_duration(text)
    total = sum((Fraction(number) * _MS_PER_UNIT[unit] for number, unit in parts), Fraction(0))
    if total.denominator != 1:
        lower = total.numerator // total.denominator
        choice = f"write {lower}ms or {lower + 1}ms"
        raise QuantityError(f"{text} is not a whole number of milliseconds", choice)
    if total > MAX_QUANTITY:
        raise QuantityError(f"{text} is too long a duration", f"the most is {MAX_QUANTITY}ms")
    return total.numerator


def format_bytes(number: int) -> str:
    """The shortest exact binary notation of a number of bytes: `1536Mi`, `2Gi`, `1025`, `0`.

    What parse_bytes reads back as the same number. Raises ValueError for a negative one.
    """
    if number < 0:
        raise ValueError(f"{number} bytes cannot be written as a quantity")
    suffix = ""
    for longer in _BINARY if number else ():
        if number % _FACTORS[longer]:
            break
        suffix = longer
    return f"{number // _FACTORS[suffix]}{suffix}"


def _parse_whole(text: str | int, unit: int, unit_name: str) -> int:
    amount, bare = _parse_amount(text)
    if amount > MAX_QUANTITY:
        most = f"the most is {MAX_QUANTITY} bytes, just under 8Ei"
        raise QuantityError(f"{_show(text)} is too large", most)
    if amount % unit == 0:
        return int(amount)
    raise QuantityError(f"{_show(text)} is not a whole number of {unit_name}", _choose(amount, unit, bare))


def _choose(amount: Fraction, unit: int, bare: bool) -> str:
    """The whole numbers of units below and above, written as the user wrote: with or without a suffix."""
    if bare and amount.denominator == 1 and amount < unit:
        return f"a number without a unit is bytes; write {amount}Mi or {amount}Gi"
    lower = int(amount // unit) * unit
    neighbours = [n for n in (lower, lower + unit) if n <= MAX_QUANTITY and (n or unit == 1)]
    hint = " (a number without a unit is bytes)" if bare and unit > 1 else ""
    return f"write {' or '.join(str(n) if bare else format_bytes(n) for n in neighbours)}{hint}"


def _parse_amount(text: str | int) -> tuple[Fraction, bool]:
    """The exact number of bytes, and whether the text has no suffix."""
    if isinstance(text, int) and not isinstance(text, bool):
        if text < 0:
            raise QuantityError(f"{_quote(text)} is negative", "write 0 or more")
        return Fraction(text), True
    if not isinstance(text, str):
        raise QuantityError(
            f"{_quote(text)} is not a quantity", 'write a number and a unit, such as "1536Mi"'
        )
    found = _QUANTITY.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None:
        raise QuantityError(*_explain(text))
    number, exponent, suffix = found.groups()
    if exponent is not None:
        return Fraction(number) * Fraction(10) ** int(exponent), True
    if suffix not in _FACTORS:
        raise QuantityError(f"{text} has the unknown unit {suffix}", _near_miss(number, suffix))
    return Fraction(number) * _FACTORS[suffix], not suffix


def _explain(text: str) -> tuple[str, str]:
    example = "write a number and a unit, such as 1536Mi or 2Gi"
    if len(text) > _MAX_LENGTH:
        return f"the quantity {_quote(text)} is too long", f"{example}, in at most {_MAX_LENGTH} characters"
    if text.startswith("-") and _QUANTITY.fullmatch(text[1:]):
        return f"{text} is negative", "write 0 or more"
    squeezed = re.sub(r"[\s,_]", "", text)
    if squeezed != text and _QUANTITY.fullmatch(squeezed):
        return f"{_quote(text)} is not a quantity", f"write {squeezed}, without spaces or separators"
    return f"{_quote(text)} is not a quantity", example


def _near_miss(number: str, suffix: str) -> str:
    """What was probably meant by a unit that Kubernetes does not know."""
    if suffix == "m":
        return f"m means thousandths, which bytes do not have; write {number}Mi or {number}M"
    letter = suffix[:1].upper()
    rest = suffix[1:].removesuffix("/s").lower()
    if suffix.lower() == "b":
        return f"write {number}, a number without a unit is bytes"
    if f"{letter}i" in _BINARY and rest in {"i", "ib"}:
        return f"write {number}{letter}i"
    if f"{letter}i" in _BINARY and rest in {"", "b"}:
        return (
            f"write {number}{letter}i (powers of 1024) or {number}{letter.replace('K', 'k')} (powers of 1000)"
        )
    return f"units are {', '.join((*_BINARY, *_DECIMAL))}"


def _split_duration(text: str) -> list[tuple[str, str]]:
    parts = [(part[1], part[2]) for part in _DURATION_PART.finditer(text[:_MAX_LENGTH])]
    units = [unit for _, unit in parts]
    falling = [unit for unit in _MS_PER_UNIT if unit in units]
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise QuantityError(f"{_quote(text)} is not a duration", _example(text))
    if units != falling:
        order = ", ".join(_MS_PER_UNIT)
        raise QuantityError(f"{text} mixes up its units", f"write each at most once, in the order {order}")
    return parts


def _example(value: object) -> str:
    number = _quote(value).strip("'")
    if number.isdecimal():
        return f"write a unit: {number}s, {number}m or {number}h"
    return "write a number and a unit, such as 30s, 5m, 2h30m or 7d"


def _show(value: str | int) -> str:
    """A quantity that was understood: text is safe as it is, a number may still be huge."""
    return value if isinstance(value, str) else _quote(value)


def _quote(value: object) -> str:
    """Any value, escaped and cut to a readable length; containers and huge numbers only by their type."""
    if isinstance(value, str):
        return repr(value[:_MAX_LENGTH]) + ("…" if len(value) > _MAX_LENGTH else "")
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) <= MAX_QUANTITY):
        return repr(value)
    return {list: "a list", dict: "a mapping", int: "the number"}.get(type(value), "this value")
