"""kubectl's reading of YAML; the expectations were read from kubectl 1.32 (`create --dry-run=client -o json`)."""

from __future__ import annotations

import json
import time

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from polong.kit.errors import BadRequest
from polong.objects import yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 420),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("yes", True),
        ("on", True),
        ("y", True),
        ("n", False),
        ("Off", False),
        ("1e3", 1000),
        ("1.0", 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1_000", 1000),
        ("08", 8),
        ("-7", -7),
        ("+7", 7),
        ("2020-01-02", "2020-01-02"),
        ("12:30:45", "12:30:45"),
        ("=", "="),
        ("~", None),
        ("", None),
        ("null", None),
        ("'0644'", "0644"),
        ('"yes"', "yes"),
        ("!!str 5", "5"),
        ("18446744073709551615", 18446744073709551615),
        ("nginx:1.27", "nginx:1.27"),
        ("-", [None]),
        ("1.2.3", "1.2.3"),
        ("0x", "0x"),
        ("100m", "100m"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    loaded = yaml.load_one(f"k: {text}\n" if text != "-" else "k:\n- \n")["k"]
    assert loaded == value
    assert type(loaded) is type(value)


def test_keys_are_strings() -> None:
    assert yaml.load_one("n: 1\n1: 2\nnull: 3\n") == {"false": 1, "1": 2, "null": 3}


def test_documents_and_their_lines() -> None:
    documents = yaml.load_all("# nothing\n---\na: 1\n---\n\n---\nb: 2\n")
    assert [(document.value, document.line) for document in documents] == [({"a": 1}, 2), ({"b": 2}, 6)]


def test_a_duplicate_key_is_refused_with_its_line() -> None:
    with pytest.raises(BadRequest, match=r'pod\.yaml: yaml: line 3: key "a" already set in map'):
        yaml.load_all("a: 1\nb: 2\na: 3\n", "pod.yaml")


def test_merge_keys() -> None:
    text = "base: &b {x: 1, z: 2}\none: {<<: *b, z: 3}\n"
    assert yaml.load_one(text)["one"] == {"x": 1, "z": 3}


def test_aliases() -> None:
    assert yaml.load_one("a: &x [1, 2]\nb: *x\n")["b"] == [1, 2]
    with pytest.raises(BadRequest, match="contains itself"):
        yaml.load_one("a: &x [*x]\n")
    with pytest.raises(BadRequest):
        yaml.load_one("a: *nope\n")


def test_a_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{index}: &a{index} [{','.join([f'*a{index - 1}'] * 9)}]" for index in range(1, 20)]
    began = time.monotonic()
    with pytest.raises(BadRequest, match="excessive aliasing"):
        yaml.load_one("\n".join(lines))
    assert time.monotonic() - began < 1


def test_depth_is_bounded() -> None:
    with pytest.raises(BadRequest, match=r"depth|nest"):
        yaml.load_one("[" * 5000 + "]" * 5000)


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", "a: b: c\n", "a: 'x\n", "\t- x", "k: .inf", "? {a: b}\n: c\n", "a: [1, 2\n"])
def test_what_is_no_yaml_is_one_line(text: bytes | str) -> None:
    with pytest.raises(BadRequest) as caught:
        yaml.load_all(text, "file")
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("error parsing file")


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1, max_size=4), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text("ghijk", min_size=1), _json, min_size=1))
def test_json_is_yaml(value: dict[str, object]) -> None:
    # YAML has a rule that JSON has not: a plain tab may not indent; text here has none.
    expected = json.loads(json.dumps(value), object_pairs_hook=dict)
    assert yaml.load_one(json.dumps(value)) == expected
    assert yaml.load_one(pyyaml.safe_dump(value, default_style='"')) is not None
