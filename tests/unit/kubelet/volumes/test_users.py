from __future__ import annotations

from pathlib import Path

import pytest

from polong.kit.errors import FailedPrecondition
from polong.kubelet.security import IDS, UserRange
from polong.kubelet.volumes import users

POD = {"metadata": {"name": "p"}, "spec": {"hostUsers": False}}


def place(root: Path, name: str) -> Path:
    directory = root / name
    directory.mkdir()
    return directory


def test_a_pod_of_the_hosts_users_has_no_range(tmp_path: Path) -> None:
    for number, spec in enumerate(({}, {"hostUsers": True}, {"hostUsers": None})):
        assert users.range_of({"metadata": {}, "spec": spec}, place(tmp_path, str(number))) is None
    assert not list(tmp_path.glob("*/users"))


def test_ranges_are_kept_and_never_shared_and_free_again(tmp_path: Path) -> None:
    one, two = place(tmp_path, "1"), place(tmp_path, "2")
    first = users.range_of(POD, one)
    assert first is not None
    assert users.range_of(POD, two) == UserRange(first.first + IDS)
    assert users.range_of(POD, one) == first
    (one / "users").unlink()
    assert users.range_of(POD, place(tmp_path, "3")) == first
    assert 2**31 > first.first + IDS > 600_100_000


@pytest.mark.parametrize("text", ["", "x", "1", "1879048193"])
def test_what_is_damaged_is_told(tmp_path: Path, text: str) -> None:
    directory = place(tmp_path, "1")
    (directory / "users").write_text(text)
    with pytest.raises(FailedPrecondition, match="damaged"):
        users.range_of(POD, directory)


def test_a_node_without_free_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_RANGES", 1)
    users.range_of(POD, place(tmp_path, "1"))
    with pytest.raises(FailedPrecondition, match="no range of ids is left"):
        users.range_of(POD, place(tmp_path, "2"))
