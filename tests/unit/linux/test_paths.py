"""Foreign paths never leave their root, and never name what is not a plain file."""

import os
import stat
from pathlib import Path

import pytest

from polong.kit.errors import Invalid, TooLarge
from polong.linux import paths


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "canary").write_text("secret")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("inside")
    (root / "up").symlink_to("../../canary")
    (root / "abs").symlink_to("/etc/passwd")
    (root / "out").symlink_to(tmp_path)
    (root / "magic").symlink_to("/proc/self/root")
    return root


def test_links_end_at_the_root(tree):
    with paths.Root.open(tree) as root:
        assert root.read("/abs", 100) == b"inside"
        assert root.read("../../etc/passwd", 100) == b"inside"
        assert root.resolve("abs") == "/etc/passwd"
        assert root.resolve("/") == "/"
        for path in ("up", "out/canary"):
            with pytest.raises(FileNotFoundError):
                root.read(path, 100)
        with pytest.raises(OSError, match="openat2"):
            root.read("up", 100, resolve=paths.BENEATH)
        with pytest.raises(OSError, match="openat2"):
            root.read("abs", 100, resolve=paths.NO_LINKS)


def test_magic_links_are_refused(tmp_path):
    with paths.Root.open("/") as root, pytest.raises(OSError, match="openat2"):
        root.resolve("/proc/self/root/etc")


def test_only_regular_files_of_bounded_size_are_read(tree):
    os.mkfifo(tree / "fifo")
    (tree / "big").write_bytes(b"x" * 11)
    with paths.Root.open(tree) as root:
        for path in ("fifo", "etc"):
            with pytest.raises(Invalid, match="not a regular file"):
                root.read(path, 10)
        with pytest.raises(TooLarge):
            root.read("big", 10)
        with pytest.raises(Invalid, match="NUL"):
            root.read("a\0b", 10)


def test_writing_replaces_the_entry_and_never_follows_it(tree, tmp_path):
    (tree / "etc/hosts").symlink_to(tmp_path / "canary")
    with paths.Root.open(tree) as root:
        root.write("etc/hosts", b"new", 0o600)
        with pytest.raises(OSError, match="openat2"):
            root.write("out/canary", b"evil")
        with pytest.raises(Invalid):
            root.write("..", b"evil")
    assert (tmp_path / "canary").read_text() == "secret"
    assert (tree / "etc/hosts").read_text() == "new"
    assert stat.S_IMODE((tree / "etc/hosts").stat().st_mode) == 0o600
    assert sorted(path.name for path in (tree / "etc").iterdir()) == ["hosts", "passwd"]


def test_directories_are_made_beneath(tree, tmp_path):
    with paths.Root.open(tree) as root:
        root.make_directories("/etc/a/b").close()
        with pytest.raises(Invalid):
            root.make_directories("/etc/../../x")
        # As the container sees it: the link leads to a place inside.
        with pytest.raises(OSError, match=r"."):
            root.make_directories("/out/made", resolve=paths.BENEATH)
    assert (tree / "etc/a/b").is_dir()
    assert not (tmp_path / "made").exists()


def test_what_does_not_exist_yet_is_resolved_as_far_as_it_does(tree):
    (tree / "link").symlink_to("/etc")
    with paths.Root.open(tree) as root:
        assert root.resolve_missing("/link/new/deep") == "/etc/new/deep"
        assert root.resolve_missing("//link/./passwd") == "/etc/passwd"
        with pytest.raises(Invalid):
            root.resolve_missing("/missing/../etc")
        assert root.kind("link") == stat.S_IFLNK
        assert root.kind("link/passwd") == stat.S_IFREG
        assert root.kind("nothing/here") is None


def test_dangling_links_are_followed_to_where_they_would_lead(tree):
    (tree / "later").symlink_to("/proc/self/fd/3")
    (tree / "chain").symlink_to("etc/../later")
    (tree / "loop").symlink_to("loop")
    with paths.Root.open(tree) as root:
        assert root.resolve_missing("/later") == "/proc/self/fd/3"
        assert root.resolve_missing("/chain/x") == "/proc/self/fd/3/x"
        with pytest.raises(OSError, match=r"(?i)level|symbolic"):
            root.resolve_missing("/loop")
