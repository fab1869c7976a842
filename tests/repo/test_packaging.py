"""The wheel: it builds, carries what is not Python, and its version is the one that the package says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from tests.repo.checkout import ROOT

import polong


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git tracks, so that nothing comes along by chance."""
    source = tmp_path_factory.mktemp("source")
    archive = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip("not a git checkout")
    for name in archive.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
            (source / name).chmod((ROOT / name).stat().st_mode)
    target = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--wheel-dir",
            str(target),
            str(source),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (built,) = target.glob("polong-*.whl")
    return built


def test_the_wheel_carries_the_pause_binary_and_the_schema(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert "polong/oci/bin/pause" in names
        assert archive.read("polong/oci/bin/pause")[:4] == b"\x7fELF"
        assert archive.getinfo("polong/oci/bin/pause").external_attr >> 16 & 0o111, "/pause must be executable"
        assert "polong/objects/schema.json" in names
        assert "polong/py.typed" in names


def test_the_wheel_is_for_one_platform_and_holds_no_tests(wheel: Path) -> None:
    assert "-none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"polong", f"polong-{polong.__version__}.dist-info"}


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert polong.__version__ == project["version"]
