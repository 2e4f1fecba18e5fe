"""The word that somebody probably meant: near misses of field names, kinds, values and object names.

Comparing words is slow, so one `Suggestions` lasts for one reading of the manifests and stops comparing
once its budget is spent: thousands of dangling references must not take minutes.
"""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

_BUDGET: Final = 100_000
_LONGEST_WORD: Final = 64
_CUTOFF: Final = 0.6


class Suggestions:
    """Finds near misses until `budget` words were compared."""

    __slots__ = ("_budget", "_known")

    def __init__(self, budget: int = _BUDGET) -> None:
        self._budget = budget
        self._known: dict[tuple[str, str], str | None] = {}

    def near_miss(self, word: str, options: Collection[str], topic: str = "") -> str | None:
        """The option most like the word, None if none is or the budget is spent.

        With a topic, the options of which must not change, answers are remembered.
        """
        if len(word) > _LONGEST_WORD:
            return None
        key = (topic, word)
        if not topic or key not in self._known:
            self._known[key] = self._compare(word, options)
        return self._known[key]

    def _compare(self, word: str, options: Collection[str]) -> str | None:
        if self._budget < len(options):
            return None
        self._budget -= len(options)
        lowered = {option.lower(): option for option in sorted(options, reverse=True)}
        matches = get_close_matches(word.lower(), lowered, n=1, cutoff=_CUTOFF)
        return lowered[matches[0]] if matches else None


def offer(near: str | None, otherwise: str) -> str:
    """The question after a near miss, else the advice given."""
    return f"did you mean {near}?" if near else otherwise
