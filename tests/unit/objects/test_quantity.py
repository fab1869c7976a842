from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polong.objects import quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("1", "1"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000k", "1M"),
        ("128974848", "128974848"),
        ("129e6", "129e6"),
        ("1e3", "1e3"),
        ("12345678901234567890", "12345678901234567890"),
        ("1023", "1023"),
        ("0.5Mi", "512Ki"),
        ("-1", "-1"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "1KiB", "1 Gi", "0x10", "١", "1e", "--1", "1" * 100, True])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity.parse(text)


def test_rounding_is_up() -> None:
    assert quantity.milli("0.1m") == 1
    assert quantity.value("1.1") == 2
    assert quantity.parse("0.1n") == Fraction(1, 10**9)


@given(st.fractions(min_value=0, max_value=10**15).map(lambda number: f"{float(number):.3f}"))
def test_canonical_keeps_the_value(text: str) -> None:
    assert quantity.parse(quantity.canonical(text)) == quantity.parse(text)


def test_a_binary_quantity_that_no_int64_holds_is_capped() -> None:
    assert quantity.canonical("9" * 20 + "Ei") == "9223372036854775807"
    assert quantity.canonical("-" + "9" * 20 + "Ei") == "-9223372036854775807"


@pytest.mark.parametrize("text", ["1E100", "1e999", "-1e200"])
def test_what_could_not_be_read_again_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity.canonical(text)
    assert len(quantity.canonical("1E60")) < 64
