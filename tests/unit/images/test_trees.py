from __future__ import annotations

import os
from pathlib import Path

from polong.images import trees


def remove(path: Path) -> None:
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        trees.remove(parent, path.name)
    finally:
        os.close(parent)


def test_links_are_removed_not_followed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "link").symlink_to(canary)
    (tree / "a" / ".removing-1").mkdir()
    (tree / "a" / ".removing-1" / "f").touch()
    os.mkfifo(tree / "fifo")
    remove(tree)
    assert not tree.exists()
    assert (canary / "file").read_text() == "x"
    remove(tree)
    (tmp_path / "link").symlink_to(canary)
    remove(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["canary"]


def test_depth_costs_neither_stack_nor_descriptors(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    current = os.open(tree, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=current)
        below = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=below))
        os.close(current)
        current = below
    os.close(current)
    remove(tree)
    assert not tree.exists()
