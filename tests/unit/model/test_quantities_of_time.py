import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.quantities import MAX_QUANTITY, QuantityError, parse_duration


def refusal(value):
    with pytest.raises(QuantityError) as caught:
        parse_duration(value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h30m", 9_000_000),
        ("1.5h", 5_400_000),
        ("500ms", 500),
        ("1m500ms", 60_500),
        ("7d", 604_800_000),
        ("0s", 0),
        (".5s", 500),
    ],
)
def test_a_duration_is_a_number_of_milliseconds(text, expected):
    assert parse_duration(text) == expected


@given(st.integers(0, 999), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 9999))
def test_the_parts_of_a_duration_add_up(days, hours, minutes, seconds, millis):
    total = ((days * 24 + hours) * 60 + minutes) * 60_000 + seconds * 1000 + millis
    assert parse_duration(f"{days}d{hours}h{minutes}m{seconds}s{millis}ms") == total


@pytest.mark.parametrize("value", [30, "30"])
def test_a_number_without_a_unit_asks_for_one(value):
    assert refusal(value).detail == "write a unit: 30s, 30m or 30h"


def test_a_fraction_of_a_millisecond_names_both_neighbours():
    error = refusal("1.5ms")
    assert (error.summary, error.detail) == (
        "1.5ms is not a whole number of milliseconds",
        "write 1ms or 2ms",
    )


@pytest.mark.parametrize("text", ["30m2h", "1h1h", "1ms1s"])
def test_units_out_of_order_or_twice_are_refused(text):
    assert "mixes up its units" in refusal(text).summary


@pytest.mark.parametrize(
    "value",
    [
        *["", "-5m", "1h ", "s", "1h2", "x1h", "1y", "١s", "1h\n", True, None, 1.5, -1, []],
        pytest.param("9" * 10**6 + "s", id="digits"),
        pytest.param(10**5000, id="integer"),
    ],
)
def test_what_is_no_duration_is_refused_in_few_printable_words(value):
    begun = time.process_time()
    error = refusal(value)
    assert time.process_time() - begun < 0.1
    assert str(error).isprintable()
    assert len(str(error)) < 300


def test_durations_beyond_63_bits_are_refused():
    assert "too long" in refusal(f"{MAX_QUANTITY + 1}ms").summary


@given(st.text(alphabet="0123456789.dhms -", max_size=20))
def test_any_text_gives_a_duration_or_a_quantity_error(text):
    try:
        assert 0 <= parse_duration(text) <= MAX_QUANTITY
    except QuantityError as error:
        assert error.detail
