"""The text of `access`: above all, that a difference between computed and tried cannot be overlooked."""

from __future__ import annotations

from typing import Any

from polong.cli.access import render

Json = dict[str, Any]


def answer(*, tried: bool | None, different: bool = False) -> Json:
    verdict = {"allowed": True, "rule": "uid", "reason": "same", "indirect": "", "tried": tried}
    items = [
        {
            "from": "one",
            "to": "",
            "process": {"pid": 1, "uid": 0, "command": ["/pause"]},
            "verdicts": {name: dict(verdict) for name in ("see", "signal", "environ", "root", "cwd", "ptrace")},
        }
    ]
    found = [{"from": "one", "to": "", "pid": 1, "action": "root", "computed": True, "tried": False}] if different else []
    return {"items": items, "notes": [], "verification": {"tried": 6, "equal": 6 - len(found), "different": found}}


def test_all_equal_is_one_line() -> None:
    text = render(answer(tried=True), explain=False)
    assert "verified: 6 verdicts were tried from inside, and all came out as computed." in text
    assert "BUT" not in text


def test_a_difference_is_loud_in_the_table_and_below() -> None:
    text = render(answer(tried=False, different=True), explain=False)
    assert "yes, BUT NO" in text
    assert "DIFFERENT: 1 of 6 verdicts" in text
    assert "one -> <pod>, PID 1: root is computed as allowed, and was refused" in text


def test_without_verification_nothing_is_said_of_it() -> None:
    found = answer(tried=None)
    del found["verification"]
    assert "tried" not in render(found, explain=True)
