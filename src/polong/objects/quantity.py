"""Quantities: `100m`, `1.5Gi`, `2e3`. Exact, as fractions. Source: apimachinery pkg/api/resource/quantity.go (grammar and rounding)."""

from __future__ import annotations

import functools
import math
import re
from decimal import Decimal
from fractions import Fraction

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_NAMES = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_GRAMMAR = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,3}))?", re.ASCII)

_LARGEST = Fraction(2**63 - 1)
_MAX_LENGTH = 64

# The texts of Kubernetes' ErrFormatWrong.
FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@functools.lru_cache(maxsize=4096)
def parse(text: str | int | float) -> Fraction:
    """The exact value. ValueError with Kubernetes' text where it is not a quantity."""
    match = _GRAMMAR.fullmatch(str(text)) if not isinstance(text, bool) else None
    if match is None or len(str(text)) > _MAX_LENGTH:
        raise ValueError(FORMAT_WRONG)
    sign, digits, suffix, exponent = match.groups()
    number = Fraction(Decimal(digits))
    if exponent is not None:
        number *= Fraction(10) ** int(exponent)
    elif suffix in _BINARY:
        number *= 1024 ** _BINARY[suffix]
    elif suffix:
        number *= Fraction(10) ** _DECIMAL[suffix]
    # Nothing finer than nano exists: Kubernetes rounds away from zero. It caps what has a binary suffix.
    number = Fraction(math.ceil(number * 10**9), 10**9)
    if suffix in _BINARY:
        number = min(number, _LARGEST)
    return -number if sign == "-" else number


def value(text: str | int | float) -> int:
    """Whole units, rounded up: bytes of memory."""
    return math.ceil(parse(text))


def milli(text: str | int | float) -> int:
    """Thousandths, rounded up: CPU."""
    return math.ceil(parse(text) * 1000)


@functools.lru_cache(maxsize=4096)
def canonical(text: str | int | float) -> str:
    """As Kubernetes writes it back: no fraction, the largest suffix that keeps it exact, in the family that the text used. ValueError as
    `parse`, and for what could not be read again."""
    number = parse(text)
    match = _GRAMMAR.fullmatch(str(text))
    assert match is not None
    if number == 0:
        return "0"
    if match.group(3) in _BINARY and number.denominator == 1:
        return _binary(int(number))
    found = _exponent(number) if match.group(4) is not None and "." not in str(text) else _decimal(number)
    if len(found) > _MAX_LENGTH:
        raise ValueError(FORMAT_WRONG)
    return found


def _binary(number: int) -> str:
    if abs(number) < 1024:
        return str(number)
    for suffix, power in reversed(_BINARY.items()):
        if number % 1024**power == 0:
            return f"{number // 1024**power}{suffix}"
    return str(number)


def _thousands(number: Fraction) -> tuple[int, int]:
    """Mantissa and the largest exponent (a multiple of three) that keeps it whole."""
    for exponent in range(18, -10, -3):
        scaled = number / Fraction(10) ** exponent
        if scaled.denominator == 1:
            return int(scaled), exponent
    raise AssertionError("finer than nano")


def _decimal(number: Fraction) -> str:
    mantissa, exponent = _thousands(number)
    return f"{mantissa}{_DECIMAL_NAMES[exponent]}"


def _exponent(number: Fraction) -> str:
    mantissa, exponent = _thousands(number)
    return f"{mantissa}e{exponent}" if exponent else str(mantissa)
