"""Text from outside turned into text that is safe and short enough to show."""

from typing import Final

_MAX_SHOWN: Final = 80


def shown(text: str, limit: int = _MAX_SHOWN) -> str:
    """The text with everything unprintable escaped (`\\x1b`), cut to `limit` characters.

    Unprintable are also bidirectional controls and lone surrogates, which would mislead a terminal
    or could not be encoded.
    """
    kept = text if len(text) <= limit else f"{text[:limit]}…"
    if kept.isprintable():
        return kept
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in kept
    )


def shown_path(name: str) -> str:
    """A file's name as the user gave it, escaped but never cut."""
    return shown(name, limit=len(name))
