import os
from pathlib import Path

import pytest

from polong.cli.node import NodeDir
from polong.daemon.lock import Lock
from polong.kit.errors import FailedPrecondition


def test_one_holder_whose_pid_is_told(tmp_path: Path) -> None:
    path = tmp_path / "root" / "lock"
    first, second = Lock(path), Lock(path)
    first.acquire()
    with pytest.raises(FailedPrecondition, match=rf"already runs on .* \(pid {os.getpid()}\)"):
        second.acquire()
    assert NodeDir(str(tmp_path / "root")).pid() == os.getpid()
    first.release()
    first.release()
    assert NodeDir(str(tmp_path / "root")).pid() is None
    second.acquire()
    second.release()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Lock(tmp_path / "lock").acquire()
    assert not (tmp_path / "elsewhere").exists()
