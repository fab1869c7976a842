"""The atomic writer: layout, swap, and a volume in which somebody else wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polong.kit.errors import Invalid
from polong.kubelet.volumes import atomic
from polong.kubelet.volumes.atomic import File

NOW = datetime(2026, 11, 22, 23, 50, 4, tzinfo=UTC)


def files(**texts: str) -> dict[str, File]:
    return {name.replace("__", "/"): File(text.encode(), 0o644) for name, text in texts.items()}


def shown(volume: Path) -> dict[str, str]:
    """What a reader of the volume sees."""
    found = {}
    for name in sorted(each.name for each in volume.iterdir()):
        if name.startswith(".."):
            continue
        for path in [volume / name, *(volume / name).rglob("*")]:
            if path.is_file():
                found[str(path.relative_to(volume))] = path.read_text()
    return found


def test_the_layout_is_the_field_s(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, files(a="1", d__b="2"), None, NOW) == {"a", "d/b"}
    data = (tmp_path / "..data").readlink()
    assert str(data).startswith("..2026_11_22_23_50_04.")
    assert {each.name: str(each.readlink()) for each in tmp_path.iterdir() if each.is_symlink()} == {
        "..data": str(data),
        "a": "..data/a",
        "d": "..data/d",
    }
    assert (tmp_path / data).stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o644


def test_equal_contents_change_nothing(tmp_path: Path) -> None:
    atomic.write(tmp_path, files(a="1"), None, NOW)
    before = (tmp_path / "..data").readlink()
    assert atomic.write(tmp_path, files(a="1"), None, NOW) == frozenset()
    assert (tmp_path / "..data").readlink() == before
    (tmp_path / "a").unlink()
    assert atomic.write(tmp_path, files(a="1"), None, NOW) == frozenset()
    assert shown(tmp_path) == {"a": "1"}


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        (files(a="1", b="3"), {"b"}),
        (files(a="1"), {"b"}),
        (files(a="1", b="2", c="3"), {"c"}),
        ({}, {"a", "b"}),
        ({"a": File(b"1", 0o400), "b": File(b"2", 0o644)}, {"a"}),
        (files(a__x="1", b="2"), {"a", "a/x"}),
    ],
)
def test_a_change_names_its_paths_and_leaves_nothing_old(tmp_path: Path, after: dict[str, File], changed: set[str]) -> None:
    atomic.write(tmp_path, files(a="1", b="2"), None, NOW)
    assert atomic.write(tmp_path, after, None, NOW) == changed
    assert shown(tmp_path) == {path: file.data.decode() for path, file in after.items()}
    assert len([each for each in tmp_path.iterdir() if each.name.startswith("..2")]) == 1


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../../b", "..data", "..x/a", "a\0b", "x" * 5_000])
def test_no_path_leaves_the_volume(tmp_path: Path, path: str) -> None:
    with pytest.raises(Invalid):
        atomic.write(tmp_path, {path: File(b"", 0o644)}, None, NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plant", ["key", "..data", "..data_tmp", "..2026_01_01_00_00_00.1", "other"])
def test_planted_links_lead_nowhere(tmp_path: Path, plant: str) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "key").write_text("canary")
    volume = tmp_path / "volume"
    volume.mkdir()
    atomic.write(volume, files(key="1"), None, NOW)
    (volume / plant).unlink(missing_ok=True)
    (volume / plant).symlink_to(canary)
    atomic.write(volume, files(key="2"), None, NOW)
    assert shown(volume) == {"key": "2"}
    assert {each.name: each.read_text() for each in canary.iterdir()} == {"key": "canary"}


def test_what_somebody_wrote_in_it_goes_with_the_next_content(tmp_path: Path) -> None:
    atomic.write(tmp_path, files(a="1"), None, NOW)
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "a").unlink()
    (tmp_path / "a").mkdir()
    atomic.write(tmp_path, files(a="2"), None, NOW)
    assert shown(tmp_path) == {"a": "2"}


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    atomic.write(tmp_path, files(a="1"), None, NOW)
    with pytest.raises(OSError, match=r"directory|exists"):
        atomic.write(tmp_path, files(b="2", b__c="3"), None, NOW)
    assert shown(tmp_path) == {"a": "1"}
    assert len(list(tmp_path.iterdir())) == 3


_NAMES = st.sampled_from(["a", "b", "c", "d/e", "d/f", "g/h/i"])


@given(st.lists(st.dictionaries(_NAMES, st.binary(max_size=4), max_size=5), min_size=1, max_size=6))
def test_whatever_came_before_only_the_last_content_is_seen(tmp_path_factory: pytest.TempPathFactory, contents: list) -> None:
    volume = tmp_path_factory.mktemp("volume")
    for content in contents:
        atomic.write(volume, {path: File(data, 0o644) for path, data in content.items()}, None, NOW)
    assert {path: (volume / path).read_bytes() for path in contents[-1]} == contents[-1]
    assert {each.name for each in volume.iterdir() if not each.name.startswith("..")} == {path.split("/")[0] for path in contents[-1]}
