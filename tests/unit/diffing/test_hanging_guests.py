"""How long a QEMU has been silent is told in steps, so that the alert does not change with every look."""

import pytest

from reconciler.diffing.hanging import describe_silence


@pytest.mark.parametrize(
    ("age_ms", "told"),
    [
        (9_999, "does not answer"),
        (10_000, "has not answered for more than 10s"),
        (59_999, "has not answered for more than 30s"),
        (60_000, "has not answered for more than 1m"),
        (90_000_000, "has not answered for more than 24h"),
    ],
)
def test_silence_is_told_in_steps(age_ms: int, told: str) -> None:
    assert describe_silence(age_ms) == told
