"""Nothing outside the tree is touched, whatever a container planted in it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from polong.kubelet.volumes import removal


def test_links_go_and_their_targets_stay(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("still here")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/link").symlink_to(canary)
    (tree / "..data").symlink_to(canary)
    (tree / "file").hardlink_to(canary / "file")
    os.mkfifo(tree / "fifo")
    removal.remove(tree)
    assert not tree.exists()
    assert (canary / "file").read_text() == "still here"


def test_depth_costs_nothing(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for _ in range(2_000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    removal.remove(tree)
    assert not tree.exists()


def test_a_link_in_the_place_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (tmp_path / "tree").symlink_to(canary)
    with suppress(OSError):
        removal.remove(tmp_path / "tree")
    assert canary.is_dir()


def test_twice_is_once(tmp_path: Path) -> None:
    removal.remove(tmp_path / "absent")
