"""How the runtime is called on each layout, and what is remembered."""

import json
from pathlib import Path

import pytest

from polong.kit.errors import FailedPrecondition, Invalid
from polong.linux.cgroups import Cgroups, Layout
from polong.oci import launch
from polong.oci.launch import Launcher


def make(tmp_path: Path, kind: str) -> Launcher:
    unified = tmp_path / "unified"
    unified.mkdir(exist_ok=True)
    return Launcher("/bin/true", tmp_path / "run", Cgroups(Layout(kind, {}, unified if kind != "v1" else None)))


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "joiner").touch()
    monkeypatch.setattr(launch, "BINARIES", tmp_path)


def bundle(tmp_path: Path, cgroup: object = "/polong/x") -> Path:
    directory = tmp_path / "bundle"
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"linux": {"cgroupsPath": cgroup}}))
    return directory


def test_words(tmp_path):
    root = ["--root", str(tmp_path / "run/runtime")]
    assert make(tmp_path, "v2").words("/a") == ["/bin/true", *root]
    joiner, unified = str(tmp_path / "joiner"), str(tmp_path / "unified")
    assert make(tmp_path, "hybrid").words("/a") == [joiner, "--join", f"{unified}/a", "--hide", unified, "--", "/bin/true", *root]
    assert make(tmp_path, "hybrid").words("") == [joiner, "--hide", unified, "--", "/bin/true", *root]
    assert make(tmp_path, "v2").words("/a", reap=Path("/p"))[:4] == [joiner, "--reap", "/p", "--"]
    assert make(tmp_path, "v1").words("/a", log=Path("/l")) == ["/bin/true", *root, "--log", "/l", "--log-format", "json"]


async def test_records_survive_and_are_forgotten(tmp_path):
    launcher = make(tmp_path, "hybrid")
    record = launcher.prepare("abc", bundle(tmp_path))
    assert make(tmp_path, "hybrid").find("abc") == record
    assert (tmp_path / "unified/polong/x").is_dir()
    (launcher.records / "bad.json").write_text("{")
    assert launcher.find("bad") is None
    await launcher.forget("abc")
    await launcher.forget("abc")
    assert launcher.find("abc") is None
    assert not (tmp_path / "unified/polong/x").exists()


@pytest.mark.parametrize("container_id", ["", "../x", "a/b", "-rf", ".", "a\nb", "x" * 200])
def test_ids_are_plain(container_id):
    with pytest.raises(Invalid):
        launch.check_id(container_id)


@pytest.mark.parametrize("cgroup", [None, 7, "relative"])
def test_a_bundle_without_cgroup_is_refused(tmp_path, cgroup):
    with pytest.raises(FailedPrecondition):
        launch.cgroup_of(bundle(tmp_path, cgroup))


def test_a_missing_runtime_is_one_line(tmp_path):
    with pytest.raises(FailedPrecondition, match="no OCI runtime 'nonexistent-runtime': install crun"):
        Launcher("nonexistent-runtime", tmp_path, Cgroups(Layout("v1", {}, None)))


def test_the_runtimes_last_words(tmp_path):
    log = tmp_path / "log"
    assert launch.said(log) == ""
    log.write_text(
        '{"level":"warning","msg":"w"}\nnot json\n{"level":"error","msg":"first"}\n{"level":"error","msg":"a\\nb\\u001b[31m"}\n[]\n'
    )
    assert launch.said(log) == "a b [31m"
