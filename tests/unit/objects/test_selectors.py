from __future__ import annotations

import pytest

from polong.objects.selectors import SelectorError, parse_field_selector, parse_label_selector

LABELS = {"app": "web", "tier": "front", "empty": "", "n": "5"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=x", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db,cache)", True),
        ("missing notin (x)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("empty=", True),
        ("empty", True),
        ("n>4", True),
        ("n<5", False),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        (" app = web , tier in (front) ", True),
        ("app in (,web)", True),
    ],
)
def test_label_selectors(text: str, expected: bool) -> None:
    assert parse_label_selector(text).matches(LABELS) is expected


@pytest.mark.parametrize("text", ["=x", "app in web", "app in (web", "app=web,", "a b", "app=a=b", "app>x", "-bad-", "app=" + "x" * 64])
def test_what_is_no_label_selector(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_label_selector(text)


def test_field_selectors() -> None:
    selector = parse_field_selector("metadata.name=x,status.phase!=Failed")
    assert selector.matches({"metadata.name": "x", "status.phase": "Running"})
    assert not selector.matches({"metadata.name": "x", "status.phase": "Failed"})
    assert selector.exact("metadata.name") == "x"
    assert parse_field_selector(r"a=b\,c").clauses == (("a", True, "b,c"),)
    with pytest.raises(SelectorError):
        parse_field_selector("nonsense")
