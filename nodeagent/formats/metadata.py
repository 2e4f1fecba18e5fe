"""Lines `KEY=value`, as metadata of storage domains and volumes are written; and the error of both formats."""

from collections.abc import Iterable

from nodeagent.operations.contract import OperationError

_LONGEST_NUMBER = 20


class MetadataError(OperationError):
    """Metadata on storage cannot be read, or says what it must not; `action` says what to do."""


def split_lines(lines: Iterable[str]) -> dict[str, str]:
    """Keys and values of the lines that have the form `KEY=value`; the last of two equal keys counts."""
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def number(values: dict[str, str], key: str, default: int | None = None) -> int:
    """A value as a whole number of at least 0. Raises MetadataError if it is not, or absent without default."""
    text = values.get(key)
    if text is None and default is not None:
        return default
    if text is None or len(text) > _LONGEST_NUMBER or not (text.isascii() and text.isdigit()):
        raise MetadataError(f"metadata has no number for {key}")
    return int(text)


def word(values: dict[str, str], key: str, allowed: Iterable[str] = ()) -> str:
    """A value, which is one of `allowed` where that is given. Raises MetadataError if it is absent or another."""
    text = values.get(key)
    if text is None:
        raise MetadataError(f"metadata lacks {key}")
    options = tuple(allowed)
    if options and text not in options:
        raise MetadataError(f"metadata has {key}={text[:40]!r}, which is none of {', '.join(options)}")
    return text


def one_line(text: str, limit: int) -> str:
    """Text as one line of at most `limit` bytes of UTF-8: control characters become spaces, the end is cut."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return plain.encode()[:limit].decode(errors="ignore").strip()
