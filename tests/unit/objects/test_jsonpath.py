"""Expectations read from `kubectl get -o jsonpath=` 1.32."""

from __future__ import annotations

import pytest

from polong.objects import jsonpath

OBJECT = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "annotations": {"k.io/x": "1"}}, "n": 1, "ok": True},
        {"metadata": {"name": "b"}, "n": 2},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.kind}", "List"),
        ("{$.kind}", "List"),
        ("{.items[*].metadata.name}", "a b"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.n}{"\\n"}{end}', "a\t1\nb\t2\n"),
        ("{.items[?(@.n>1)].metadata.name}", "b"),
        ("{.items[?(@.metadata.name=='a')].n}", "1"),
        ('{.items[?(@.metadata.name!="a")].n}', "2"),
        ("{.items[?(@.ok==true)].n}", "1"),
        ("{.items[?(@.ok)].n}", "1"),
        ("{..name}", "a b"),
        ("{.items[0].metadata.annotations.k\\.io/x}", "1"),
        ("{.items[0].metadata.annotations['k.io/x']}", "1"),
        ("{.items[-1:].metadata.name}", "b"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].n}", "1"),
        ("{.items[0]['n','ok']}", "1 true"),
        ("{.items[0,1].n}", "1 2"),
        ("x{.nope}y", "xy"),
        ("{.nope[0].deeper}", ""),
        ("{.items[1].metadata}", '{"name":"b"}'),
        ("{.items[0].metadata.*}", 'a {"k.io/x":"1"}'),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_render(template: str, text: str) -> None:
    assert jsonpath.render(template, OBJECT) == text


@pytest.mark.parametrize(
    "template", ["{", "{.a[}", "{range .x}", "{end}", "{.items[5]}", "{.items[?(@.a=1)]}", "{&}", "{'x}", "{.kind[0]}", "{.a[-]}"]
)
def test_errors_are_one_line(template: str) -> None:
    with pytest.raises(jsonpath.JsonPathError) as caught:
        jsonpath.render(template, OBJECT)
    assert "\n" not in str(caught.value)


def test_values() -> None:
    assert list(jsonpath.values("{.items[*].n}", OBJECT)) == [1, 2]
    assert list(jsonpath.values("{range .items[*]}{.n}{' '}{end}", OBJECT)) == [1, 2]
