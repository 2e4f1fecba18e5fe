"""How long removed disks are kept, in words."""

import pytest

from reconciler.diffing.purges import describe_retention

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("hours", "words"), [(7 * 24, "7 days"), (24, "1 day"), (36, "36h"), (1, "1h"), (0, "0s")]
)
def test_a_retention_is_told_in_whole_days_where_it_is_one(hours: int, words: str) -> None:
    assert describe_retention(hours * HOUR_MS) == words
