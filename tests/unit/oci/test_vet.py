"""Root file systems that a runtime must not be let loose on."""

import os
from pathlib import Path

import pytest

from polong.cri import spec
from polong.kit.errors import Invalid
from polong.oci import vet


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("dev", "proc", "sys", "etc", "run", "tmp", "data"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "canary").mkdir()
    return tmp_path / "root"


def config(*destinations: str, cwd: str = "/", masked: bool = True) -> dict:
    mounts = [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}, {"destination": "/proc", "type": "proc", "source": "proc"}]
    mounts += [{"destination": destination, "type": "bind", "source": "/x"} for destination in destinations]
    return {"process": {"cwd": cwd}, "mounts": mounts, "linux": {"maskedPaths": ["/proc/kcore"] if masked else []}}


def test_a_plain_one_passes(root):
    vet.rootfs(
        root,
        config(
            "/data", "/data/new/deep", "/dev/shm", "/dev/termination-log", "/dev/termination-custom-log", "/etc/hosts", cwd="/data/later"
        ),
    )


@pytest.mark.parametrize("place", ["dev", "proc", "sys", "etc", "run", "tmp", "dev/pts", "dev/shm", "dev/mqueue"])
@pytest.mark.parametrize("target", ["/canary", "../canary", "/nowhere", "link2", "."])
def test_links_at_the_runtimes_places_are_refused(root, place, target):
    path = root / place
    if path.is_dir():
        path.rmdir()
    path.symlink_to(target)
    with pytest.raises(Invalid, match=f"/{place} is a symbolic link"):
        vet.rootfs(root, config())


def test_files_at_the_runtimes_places_are_refused(root):
    (root / "proc").rmdir()
    os.mkfifo(root / "proc")
    with pytest.raises(Invalid, match="/proc is not a directory"):
        vet.rootfs(root, config())


@pytest.mark.parametrize(
    "destination",
    [
        "/",
        "//",
        "/.",
        "/proc",
        "//proc/.",
        "/a/../proc",
        "/proc/sys",
        "/sys",
        "/sys/fs/cgroup",
        "/dev",
        "/dev/pts",
        "/dev/null",
        "/dev/fd",
        "/dev/core",
        "/dev//console/",
        "relative",
        "/a\0b",
    ],
)
def test_mounts_over_the_kernel_are_refused(root, destination):
    with pytest.raises(Invalid, match="mount path"):
        vet.rootfs(root, config(destination))


def test_a_link_of_the_image_does_not_hide_the_kernel(root):
    (root / "x").symlink_to("/proc")
    (root / "y").symlink_to("data/../../../../proc")
    (root / "ok").symlink_to("/data")
    for destination in ("/x", "/x/sys", "/y"):
        with pytest.raises(Invalid, match="/proc"):
            vet.rootfs(root, config(destination))
    vet.rootfs(root, config("/ok/below"))


def test_privileged_may_have_devices_but_never_proc(root):
    vet.rootfs(root, config("/dev", "/sys/fs/bpf", masked=False))
    with pytest.raises(Invalid):
        vet.rootfs(root, config("/proc/x", masked=False))


@pytest.mark.parametrize("cwd", ["relative", "/proc/self/fd/7", "/proc/1/cwd", "/sys/fs", "/link", "/../../proc"])
def test_working_directories_in_the_kernel_are_refused(root, cwd):
    (root / "link").symlink_to("/proc/self/fd/3")
    with pytest.raises(Invalid):
        vet.rootfs(root, config(cwd=cwd))


def test_what_the_builder_accepts_below_dev_is_what_vetting_accepts(root):
    for name in ("termination-log", "termination-custom-log", "shm", "mqueue", "console", "null", "pts", "core", "fd", "stdin"):
        path = f"/dev/{name}"
        answers = []
        for check in (lambda: spec.checked_destination(path, privileged=False), lambda: vet.rootfs(root, config(path))):  # noqa: B023
            try:
                check()
                answers.append(True)
            except Invalid:
                answers.append(False)
        assert answers[0] == answers[1], path
