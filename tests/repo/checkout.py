"""The checkout that the repository tests look at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "polong"
BIN = Path(sys.executable).parent


def run(*command: str, timeout: float = 110) -> str:
    """What the command printed on both streams; the test fails with it where the command fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    output = done.stdout + done.stderr
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{output[-6000:]}", pytrace=False)
    return output


def tracked() -> list[Path]:
    """Files that git tracks and that are there; skips outside a git checkout."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def sources() -> list[Path]:
    return sorted(SRC.rglob("*.py"))
