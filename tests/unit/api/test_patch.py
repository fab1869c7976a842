from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polong.api.patch import json_patch, merge_patch
from polong.kit.errors import BadRequest, PolongError

values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab~/", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(values.filter(lambda value: isinstance(value, dict | list)), values.filter(lambda value: isinstance(value, dict | list)))
def test_json_patch_does_what_the_reference_does(source: Any, wanted: Any) -> None:
    operations = jsonpatch.make_patch(source, wanted).patch
    assert json_patch.apply(source, operations) == wanted


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": 3}], {"a": [1, 3, 2]}),
        ({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}, {"op": "replace", "path": "/m~0n", "value": 3}], {"m~n": 3}),
        ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "move", "from": "/a", "path": "/c"}], {"b": 1, "c": 1}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
    ],
)
def test_json_patch(document: Any, operations: Any, expected: Any) -> None:
    assert json_patch.apply(document, operations) == expected


@pytest.mark.parametrize(
    "operations",
    [
        {},
        [1],
        [{"op": "add"}],
        [{"op": "fly", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{"op": "remove", "path": "/nope"}],
        [{"op": "replace", "path": "/l/01", "value": 1}],
        [{"op": "remove", "path": "/l/9"}],
        [{"op": "test", "path": "/a", "value": True}],
        [{"op": "move", "from": "/l", "path": "/l/0"}],
        [{"op": "add", "path": "/a/b", "value": 1}],
    ],
)
def test_json_patch_refuses(operations: Any) -> None:
    document = {"a": 1, "l": [1]}
    with pytest.raises(PolongError):
        json_patch.apply(document, operations)
    assert document == {"a": 1, "l": [1]}


def test_json_patch_is_bounded() -> None:
    with pytest.raises(BadRequest):
        json_patch.apply({}, [{"op": "test", "path": "", "value": {}}] * 10_001)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        # RFC 7386, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: Any, patch: Any, expected: Any) -> None:
    assert merge_patch.apply(target, patch) == expected
