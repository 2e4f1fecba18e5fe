import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.quantities import (
    MAX_QUANTITY,
    QuantityError,
    format_bytes,
    parse_bandwidth,
    parse_bytes,
    parse_disk_size,
    parse_memory,
)

MIB = 1024**2
BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
DECIMAL = {"k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
FACTORS = {"": 1} | {s: 1024**p for s, p in BINARY.items()} | {s: 1000**p for s, p in DECIMAL.items()}


def refusal(parse, value):
    with pytest.raises(QuantityError) as caught:
        parse(value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1025", 1025),
        (4096, 4096),
        ("2Gi", 2 * 1024**3),
        ("+2Gi", 2 * 1024**3),
        ("1.5Gi", 1536 * MIB),
        (".5Gi", 512 * MIB),
        ("1.Ki", 1024),
        ("1k", 1000),
        ("1E", 10**18),
        ("1E3", 1000),
        ("1.5e3", 1500),
        ("2000e-3", 2),
        ("7Ei", 7 * 1024**6),
        (MAX_QUANTITY, MAX_QUANTITY),
    ],
)
def test_a_quantity_is_an_exact_number_of_bytes(text, expected):
    assert parse_bytes(text) == expected


@given(st.integers(0, 2**40), st.sampled_from(sorted(FACTORS)))
def test_every_suffix_multiplies_by_its_factor(number, suffix):
    exact = number * FACTORS[suffix]
    if exact > MAX_QUANTITY:
        assert "too large" in refusal(parse_bytes, f"{number}{suffix}").summary
    else:
        assert parse_bytes(f"{number}{suffix}") == exact


@given(st.integers(0, MAX_QUANTITY))
def test_what_is_formatted_reads_back_the_same(number):
    assert parse_bytes(format_bytes(number)) == number


@given(st.integers(1, 2**30), st.sampled_from(sorted(BINARY)))
def test_no_larger_binary_unit_would_have_been_exact(mantissa, suffix):
    text = format_bytes(mantissa * FACTORS[suffix])
    assert text.endswith("Ei") or int(text[:-2]) % 1024


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1536 * MIB, "1536Mi"), (2 * 1024**3, "2Gi"), (1025, "1025"), (0, "0"), (1024**6, "1Ei")],
)
def test_bytes_are_shown_in_whole_binary_units(number, expected):
    assert format_bytes(number) == expected


def test_negative_bytes_cannot_be_formatted():
    with pytest.raises(ValueError, match="-1"):
        format_bytes(-1)


@pytest.mark.parametrize(
    ("parse", "text", "summary", "detail"),
    [
        (parse_memory, "1000M", "1000M is not a whole number of MiB", "write 953Mi or 954Mi"),
        (parse_memory, "1.3Gi", "1.3Gi is not a whole number of MiB", "write 1331Mi or 1332Mi"),
        (parse_memory, "0.5Mi", "0.5Mi is not a whole number of MiB", "write 1Mi"),
        (parse_disk_size, "1000M", "1000M is not a whole number of 4 KiB", "write 976560Ki or 976564Ki"),
        (parse_bytes, "1.5", "1.5 is not a whole number of bytes", "write 1 or 2"),
        (parse_bytes, "0.5", "0.5 is not a whole number of bytes", "write 0 or 1"),
        (parse_bytes, "1e-9999", "1e-9999 is not a whole number of bytes", "write 0 or 1"),
        (parse_bandwidth, "1M", "1M is not a whole number of MiB per second", "write 1Mi"),
    ],
)
def test_a_broken_number_of_units_names_both_neighbours(parse, text, summary, detail):
    error = refusal(parse, text)
    assert (error.summary, error.detail) == (summary, detail)
    assert str(error) == f"{summary}; {detail}"


def test_neighbours_of_a_bare_number_are_bare_numbers():
    detail = refusal(parse_memory, "1000000000").detail
    assert detail == "write 999292928 or 1000341504 (a number without a unit is bytes)"


def test_a_neighbour_beyond_63_bits_is_not_named():
    assert refusal(parse_memory, MAX_QUANTITY).detail.startswith("write 9223372036853727232 (")


def test_a_small_bare_number_is_taken_for_a_forgotten_unit():
    assert "write 2048Mi or 2048Gi" in refusal(parse_memory, 2048).detail


@given(
    st.sampled_from([(parse_memory, MIB), (parse_disk_size, 4096)]),
    st.integers(1, 2**20),
    st.sampled_from(sorted(DECIMAL)),
)
def test_the_named_neighbours_are_accepted_and_enclose_the_value(kind, number, suffix):
    parse, unit = kind
    exact = number * FACTORS[suffix]
    if exact % unit == 0 or exact > MAX_QUANTITY:
        return
    named = refusal(parse, f"{number}{suffix}").detail.removeprefix("write ").split(" or ")
    sizes = [parse(text) for text in named]
    expected = [exact // unit * unit, exact // unit * unit + unit]
    assert sizes == [size for size in expected if 0 < size <= MAX_QUANTITY]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("512m", "write 512Mi or 512M"),
        ("2GB", "write 2Gi (powers of 1024) or 2G (powers of 1000)"),
        ("2GiB", "write 2Gi"),
        ("2gi", "write 2Gi"),
        ("1K", "write 1Ki (powers of 1024) or 1k (powers of 1000)"),
        ("52MiB/s", "write 52Mi"),
        ("100b", "write 100,"),
        ("512 Mi", "write 512Mi,"),
        ("1,000Mi", "write 1000Mi,"),
        ("3xyz", "units are Ki, Mi"),
    ],
)
def test_a_unit_that_kubernetes_does_not_know_gets_the_near_miss(text, hint):
    assert hint in refusal(parse_bytes, text).detail


@pytest.mark.parametrize(
    "value", [True, False, 1.5, None, [], {}, b"2Gi", float("nan"), float("inf"), object()]
)
def test_what_is_neither_text_nor_integer_is_refused(value):
    assert "not a quantity" in refusal(parse_memory, value).summary


@pytest.mark.parametrize("value", ["-1Gi", -1, pytest.param(-(10**5000), id="huge")])
def test_negative_quantities_are_refused(value):
    assert "negative" in refusal(parse_bytes, value).summary


@pytest.mark.parametrize("value", ["8Ei", "1e30", 10**30, "1e9999", str(MAX_QUANTITY + 1)])
def test_quantities_beyond_63_bits_are_refused(value):
    assert "too large" in refusal(parse_bytes, value).summary


@pytest.mark.parametrize(
    "value", ["", " ", "Gi", ".", "2Gi\n", "٣Gi", "1e", "0x10", "\x1b[31m1Gi", "1e99999"]
)
def test_other_text_is_refused_without_control_characters_in_the_message(value):
    assert str(refusal(parse_bytes, value)).isprintable()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("9" * 10**6, id="digits"),
        pytest.param("9" * 10**6 + "Gi", id="digits and unit"),
        pytest.param("1e" + "9" * 10**6, id="exponent"),
        pytest.param("1e-9999999", id="negative exponent"),
        pytest.param(" " * 10**6, id="spaces"),
        pytest.param(10**100_000, id="integer"),
    ],
)
def test_huge_input_is_refused_fast_and_in_few_words(value):
    begun = time.process_time()
    error = refusal(parse_memory, value)
    assert time.process_time() - begun < 0.1
    assert len(str(error)) < 300


@given(st.one_of(st.text(max_size=80), st.integers(), st.floats(), st.booleans(), st.none()))
def test_any_value_gives_whole_units_or_a_quantity_error(value):
    for parse, unit in ((parse_bytes, 1), (parse_memory, MIB), (parse_disk_size, 4096)):
        try:
            size = parse(value)
        except QuantityError as error:
            assert error.summary
            assert error.detail
            assert str(error).isprintable()
        else:
            assert 0 <= size <= MAX_QUANTITY
            assert size % unit == 0


@given(st.decimals(min_value=0, max_value=10**9, places=6, allow_nan=False), st.sampled_from(sorted(BINARY)))
def test_fractions_are_computed_exactly(number, suffix):
    exact = Fraction(str(number)) * FACTORS[suffix]
    if exact.denominator == 1 and exact <= MAX_QUANTITY:
        assert parse_bytes(f"{number:f}{suffix}") == exact
    else:
        refusal(parse_bytes, f"{number:f}{suffix}")


def test_bandwidth_is_whole_mib_per_second():
    assert parse_bandwidth("1Gi") == 1024
    assert "write 100Mi" in refusal(parse_bandwidth, 100).detail
