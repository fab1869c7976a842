"""Dumpable or not, of processes that this test starts."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from polong.linux.dumpable import is_dumpable

_PR_SET_DUMPABLE = 4
_SLEEP = "import ctypes, sys; ctypes.CDLL(None).prctl({}, {}, 0, 0, 0); print(flush=True); sys.stdin.read()"


_WITHOUT = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all"]
_AS_USER = [*_WITHOUT, "--reuid=4321", "--regid=4321", "--clear-groups"]
WAYS = {
    "root": _WITHOUT,
    "root-that-may-trace": [],
    "user": _AS_USER,
    "root-of-a-namespace": ["unshare", "--user", "--map-root-user"],
    "root-of-a-namespace-without": ["unshare", "--user", "--map-root-user", *_WITHOUT],
    "root-of-a-users-namespace": [*_AS_USER, "unshare", "--user", "--map-root-user"],
    "user-of-a-namespace": ["unshare", "--user", "--map-user=1000", "--map-group=1000"],
}


@pytest.mark.parametrize("dumpable", [1, 0])
@pytest.mark.skipif(os.getuid() != 0, reason="needs root: others may not be looked at")
@pytest.mark.parametrize("way", WAYS)
def test_it_is_told_of_root_and_of_others(way: str, dumpable: int) -> None:
    command = [*WAYS[way], "/usr/bin/python3", "-c", _SLEEP.format(_PR_SET_DUMPABLE, dumpable)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert is_dumpable(child.pid) is bool(dumpable)
        child.kill()
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 1  # PR_GET_DUMPABLE: of this process nothing has changed


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: others may not be looked at")
def test_who_is_root_and_somebody_else_at_once_is_not_told() -> None:
    with subprocess.Popen(
        ["/usr/bin/python3", "-c", "import os, sys; os.setresuid(4321, 0, 0); print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert is_dumpable(child.pid) is None
        child.kill()


def test_the_thread_that_looks_changes_no_other() -> None:
    def capabilities() -> str:
        with Path("/proc/self/status").open(encoding="ascii") as file:
            return next(line for line in file if line.startswith("CapEff"))

    before = capabilities()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        is_dumpable(child.pid)
        child.kill()
    assert capabilities() == before


def test_no_process_is_said_so() -> None:
    with pytest.raises(ProcessLookupError):
        is_dumpable(2**22 + 1)
