"""Nothing that a process, a label or a message says can drive the user's terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polong.cli.escape import block, cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nginx: master process", "nginx: master process"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("c1 \x9b2J", "c1 \\x9b2J"),
        ("del\x7f", "del\\x7f"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("rtl \u202e txt", "rtl \\u202e txt"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("emoji 🌱 stays, äöü too", "emoji 🌱 stays, äöü too"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("\udc80", "\\udc80"),
    ],
)
def test_control_characters_become_visible(text: str, shown: str) -> None:
    assert cell(text) == shown


def test_block_keeps_line_ends_and_nothing_else() -> None:
    assert block("a\x1b\nb\t") == "a\\x1b\nb\\t"


def test_numbers_are_text() -> None:
    assert cell(5) == "5"


@given(st.text())
def test_what_comes_out_is_printable(text: str) -> None:
    assert cell(text).isprintable()
