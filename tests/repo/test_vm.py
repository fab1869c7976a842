"""The pure parts of tools/vm: what the machine mounts, what is put on its disk."""

from __future__ import annotations

import subprocess

import pytest
from tools.vm import disk, machine


@pytest.mark.parametrize("layout", machine.LAYOUTS)
def test_the_init_is_a_script_that_a_shell_reads(layout: str) -> None:
    text = machine.init(layout, ["-q", "tests/x.py", "-k", "a or b"])
    assert subprocess.run(["bash", "-n"], input=text.encode(), check=False, capture_output=True).stderr == b""
    assert "pytest -q tests/x.py -k 'a or b'" in text
    assert ("cgroup2" in text, "-o memory" in text) == (layout != "v1", layout != "v2")


def test_the_disk_has_what_setup_installs() -> None:
    assert {"crun", "conmon", "nftables", "runc", "linux-image-cloud-amd64", "apparmor"} <= set(disk.packages())
