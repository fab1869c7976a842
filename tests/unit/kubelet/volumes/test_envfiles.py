"""Files of environment variables: what is one, and that it cannot lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polong.kit.errors import PolongError
from polong.kubelet.volumes import envfiles


def test_what_is_read() -> None:
    text = "\n# a comment\nA='1'\n  B='two words' \nC=''\nD='one\ntwo'\nA='again'"
    assert envfiles.parse(text) == {"A": "again", "B": "two words", "C": "", "D": "one\ntwo"}


@pytest.mark.parametrize(
    ("text", "line"), [("A=1", 1), ("\nA='1", 2), ("A='1' b", 1), ("='1'", 1), ("A ='1'", 1), ("#x\nexport A='1'", 2), ("A", 1)]
)
def test_what_is_none(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=f"line {line} is not of the form"):
        envfiles.parse(text)


@settings(deadline=None)
@given(st.text(alphabet="A='# \n\t\\x", max_size=40))
def test_any_text_ends(text: str) -> None:
    try:
        found = envfiles.parse(text)
    except ValueError:
        return
    assert all("'" not in value for value in found.values())


def test_the_volume_is_not_left(tmp_path: Path) -> None:
    outside, volume = tmp_path / "secret", tmp_path / "volume"
    outside.write_text("A='stolen'")
    (volume / "sub").mkdir(parents=True)
    (volume / "link").symlink_to("../secret")
    (volume / "absolute").symlink_to(outside)
    (volume / "up").symlink_to("..")
    (volume / "sub" / "inside").write_text("A='1'")
    (volume / "within").symlink_to("sub/inside")
    for path in ("link", "absolute", "up/secret", "sub", "../secret"):
        with pytest.raises(PolongError):
            envfiles.read(volume, path)
    assert envfiles.read(volume, "sub/inside") == envfiles.read(volume, "within") == {"A": "1"}
    assert envfiles.read(volume, "nothing") is None
    (volume / "large").write_bytes(b"#" * (envfiles.MOST_BYTES + 1))
    with pytest.raises(PolongError, match="larger than"):
        envfiles.read(volume, "large")
