"""The machine's own use of CPU and memory."""

from __future__ import annotations

import os
from pathlib import Path

from polong.kubelet.host import load

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_idle_and_guest_time_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  10 20 30 4000 500 1 2 3 99 99\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n")
    assert load.read(tmp_path) == load.Load((10 + 20 + 30 + 1 + 2 + 3) * TICK, 400 * 1024)


def test_this_machine() -> None:
    first = load.read()
    assert first.cpu > 0
    assert first.memory > 0
    assert load.read().cpu >= first.cpu
