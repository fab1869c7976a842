"""fsGroup over a tree that containers have written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from polong.kubelet.volumes import ownership

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes groups")


def test_everything_gets_the_group_and_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o700)
    (tmp_path / "d" / "f").write_text("")
    (tmp_path / "d" / "f").chmod(0o600)
    canary = tmp_path.parent / "canary"
    canary.write_text("")
    canary.chmod(0o600)
    (tmp_path / "link").symlink_to(canary)
    assert ownership.set_group(tmp_path, 4242)
    seen = {path.name: (path.lstat().st_gid, path.lstat().st_mode & 0o7777) for path in (tmp_path, tmp_path / "d", tmp_path / "d" / "f")}
    assert seen == {tmp_path.name: (4242, 0o2770), "d": (4242, 0o2770), "f": (4242, 0o660)}
    assert (tmp_path / "link").lstat().st_gid == 4242
    assert (canary.stat().st_gid, canary.stat().st_mode & 0o777) == (0, 0o600)


def test_on_root_mismatch_looks_at_the_top_alone(tmp_path: Path) -> None:
    assert ownership.set_group(tmp_path, 4242, "OnRootMismatch")
    (tmp_path / "f").write_text("")
    assert not ownership.set_group(tmp_path, 4242, "OnRootMismatch")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644
    assert ownership.set_group(tmp_path, 4243, "OnRootMismatch")
    assert (tmp_path / "f").stat().st_gid == 4243


def test_depth_and_width_cost_neither_stack_nor_descriptors(tmp_path: Path) -> None:
    for number in range(1_500):
        (tmp_path / f"wide{number}").mkdir()
    deep = tmp_path
    for _ in range(700):
        deep /= "d"
        deep.mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert ownership.set_group(tmp_path, 4242)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert all((tmp_path / f"wide{number}").stat().st_gid == 4242 for number in (0, 1_499))
