"""How much a tree takes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from polong.kubelet.volumes import usage


def du(path: Path) -> int:
    return int(subprocess.run(["du", "-s", "-B1", str(path)], capture_output=True, text=True, check=True).stdout.split()[0])


def test_it_is_what_du_says(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "big").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "d" / "e" / "big", tmp_path / "again")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "link").symlink_to("/usr")
    os.mkfifo(tmp_path / "fifo")
    assert usage.used(tmp_path) == du(tmp_path)


def test_it_ends_where_it_is_enough_and_with_what_is_not_there(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "f").write_bytes(b"x" * 50_000)
    assert 60_000 < usage.used(tmp_path, 60_000) < du(tmp_path)
    assert usage.used(tmp_path / "none") == 0
