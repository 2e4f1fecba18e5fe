"""What somebody probably meant who named something that is not there."""

from collections.abc import Collection, Iterable

from reconciler.desired.suggestions import Suggestions, offer

MOST_LISTED = 12


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean vm/web-1?`, else the other advice. An id is also found by its bare name."""
    options = sorted(set(known))
    same = [one for one in options if one.rpartition("/")[2] == word.rpartition("/")[2]]
    near = same[0] if len(same) == 1 else Suggestions().near_miss(word, options)
    return offer(near, otherwise)


def listed(names: Collection[str]) -> str:
    """`a, b and c more`, or `none`."""
    shown = list(names)[:MOST_LISTED]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{', '.join(shown)}{more}" if shown else "none"
