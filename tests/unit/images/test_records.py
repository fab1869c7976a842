from __future__ import annotations

from pathlib import Path

import pytest

from polong.images import records


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert records.read(path) is None
    records.write(path, {"a": [1, "é"]})
    assert records.read(path) == {"a": [1, "é"]}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "sha256": "x", "value": {}}'])
def test_a_damaged_record_is_set_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    assert records.read(path) is None
    assert (tmp_path / "r.json.damaged").read_text() == text


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    records.write(path, {"tags": ["a", "b"]})
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"b"', b'"c"'))
    assert records.read(path) is None
