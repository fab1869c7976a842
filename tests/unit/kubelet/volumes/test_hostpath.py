import os
import socket
from pathlib import Path

import pytest

from polong.kit.errors import FailedPrecondition
from polong.kubelet.volumes import hostpath


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to(tmp_path / "dir")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("dir", "Directory"), ("file", "File"), ("socket", "Socket"), ("dir", ""), ("dir", "DirectoryOrCreate"), ("fifo", "")],
)
def test_what_is_right(there: Path, name: str, kind: str) -> None:
    assert hostpath.set_up({"path": str(there / name), "type": kind}) == there / name


def test_a_link_is_resolved_once(there: Path) -> None:
    assert hostpath.set_up({"path": str(there / "link"), "type": "Directory"}) == there / "dir"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("file", "Directory", "a directory"),
        ("dir", "File", "a file"),
        ("fifo", "File", "a file"),
        ("fifo", "FileOrCreate", "a file"),
        ("file", "Socket", "a socket file"),
        ("file", "CharDevice", "a character device"),
        ("file", "BlockDevice", "a block device"),
        ("absent", "Directory", "a directory"),
        ("dangling", "DirectoryOrCreate", "a directory"),
    ],
)
def test_what_is_wrong(there: Path, name: str, kind: str, words: str) -> None:
    with pytest.raises(FailedPrecondition) as error:
        hostpath.set_up({"path": str(there / name), "type": kind})
    assert str(error.value) == f"hostPath type check failed: {there / name} is not {words}"


def test_what_is_missing_is_made(there: Path) -> None:
    hostpath.set_up({"path": str(there / "a/b"), "type": "DirectoryOrCreate"})
    assert (there / "a/b").is_dir()
    hostpath.set_up({"path": str(there / "f"), "type": "FileOrCreate"})
    assert (there / "f").read_bytes() == b""


@pytest.mark.parametrize("path", ["relative", "/tmp/../etc"])
def test_paths_are_absolute_and_plain(path: str) -> None:
    with pytest.raises(FailedPrecondition):
        hostpath.set_up({"path": path})
