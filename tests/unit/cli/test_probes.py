"""The doctor, on machines made of files."""

from pathlib import Path
from typing import Any

import pytest

from polong.cli.check import render
from polong.cli.probes import Finding, Host, all_findings, cgroups, kernel, network, security, storage, tools

GOOD = {
    "proc/self/status": "Name:\tx\nCapEff:\t000001ffffffffff\n",
    "proc/sys/kernel/osrelease": "6.1.0-1-amd64\n",
    "proc/filesystems": "nodev\tproc\nnodev\toverlay\n\text4\n",
    "proc/self/mounts": "/dev/sda / ext4 rw 0 0\n",
    "proc/sys/net/ipv4/ip_forward": "1\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory pids io\n",
    "usr/share/containers/seccomp.json": "{}",
    "sys/kernel/security/lsm": "capability,apparmor\n",
    **{f"proc/self/ns/{name}": "" for name in ("cgroup", "ipc", "mnt", "net", "pid", "uts")},
    **{f"usr/lib/cni/{name}": "" for name in ("bridge", "host-local")},
}


def machine(
    tmp_path: Path,
    files: dict[str, str | None] | None = None,
    programs: tuple[str, ...] = ("crun", "conmon", "nft", "apparmor_parser"),
    **more: Any,
) -> Host:
    for name, text in {**GOOD, **(files or {})}.items():
        if text is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    for name in programs:
        path = tmp_path / "usr/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    defaults: dict[str, Any] = {
        "root": tmp_path,
        "euid": 0,
        "search": "/usr/bin",
        "first_line": lambda argv: f"{Path(argv[0]).name} version 1.99.0",
        "connect": lambda host, port: "" if host != "127.0.0.1" else "refused",
        "free": lambda path: (50 << 30, 1_000_000),
    }
    return Host(**{**defaults, **more})


def levels(findings: list[Finding]) -> dict[str, str]:
    return {item.name: item.level for item in findings}


def test_a_good_machine_has_nothing_to_mend(tmp_path: Path) -> None:
    found = all_findings(machine(tmp_path))
    assert set(levels(found).values()) == {"ok"}
    assert render(found)[-1] == "A node can run here."


def test_without_root(tmp_path: Path) -> None:
    (found,) = kernel.rights(machine(tmp_path, euid=1000))
    assert (found.level, found.mend) == ("fail", "run as root or with sudo")


def test_without_sys_resource_it_is_a_warning(tmp_path: Path) -> None:
    host = machine(tmp_path, {"proc/self/status": "CapEff:\t000001fffeffffff\n"})
    assert levels(list(kernel.rights(host))) == {"root": "ok", "resources": "warn"}


def test_an_old_kernel_fails(tmp_path: Path) -> None:
    assert next(kernel.version(machine(tmp_path, {"proc/sys/kernel/osrelease": "5.4.0\n"}))).level == "fail"


def test_no_overlay_says_modprobe(tmp_path: Path) -> None:
    (found,) = kernel.overlay(machine(tmp_path, {"proc/filesystems": "nodev\tproc\n"}))
    assert found.mend == "modprobe overlay"


@pytest.mark.parametrize(("modprobe", "level"), [("/sbin/modprobe", "ok"), ("/nowhere", "fail")])
def test_an_overlay_module_is_as_good_where_the_kernel_can_load_it(tmp_path: Path, modprobe: str, level: str) -> None:
    files = {
        "proc/filesystems": "nodev\tproc\n",
        "lib/modules/6.1.0-1-amd64/modules.dep": "kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko\nkernel/fs/overlayfs/overlay.ko:\n",
        "proc/sys/kernel/modprobe": f"{modprobe}\n",
        "sbin/modprobe": "",
    }
    (found,) = kernel.overlay(machine(tmp_path, files))
    assert found.level == level


def test_apparmor_needs_its_parser(tmp_path: Path) -> None:
    (found,) = security.modules(machine(tmp_path, programs=()))
    assert (found.level, found.mend.partition(",")[0]) == ("warn", "apt-get install apparmor")


@pytest.mark.parametrize("missing", ["crun", "conmon", "nft"])
def test_each_missing_program_fails_with_a_way_to_get_it(tmp_path: Path, missing: str) -> None:
    host = machine(tmp_path, programs=tuple({"crun", "conmon", "nft"} - {missing}))
    failed = [item for item in all_findings(host) if item.level == "fail"]
    assert len(failed) == 1
    assert "apt install" in failed[0].mend


def test_an_old_runtime_is_a_warning(tmp_path: Path) -> None:
    (found,) = tools.runtime(machine(tmp_path, first_line=lambda argv: "crun version 1.8.1"))
    assert found.level == "warn"
    assert "1.14.3" in found.mend


def test_the_three_layouts_of_cgroups(tmp_path: Path) -> None:
    v1 = {f"sys/fs/cgroup/{name}/tasks": "" for name in ("cpu", "memory", "pids")}
    assert "v2" in next(cgroups.layout(machine(tmp_path / "a"))).found

    def without(extra: dict[str, str]) -> Host:
        where = tmp_path / str(len(extra))
        host = machine(where, extra)
        (where / "sys/fs/cgroup/cgroup.controllers").unlink()
        return host

    assert next(cgroups.layout(without(v1))).found == "v1"
    hybrid = without({**v1, "sys/fs/cgroup/unified/cgroup.controllers": "hugetlb\n"})
    assert [item.level for item in cgroups.layout(hybrid)] == ["ok", "warn"]
    assert next(cgroups.layout(without({}))).level == "fail"


def test_missing_plugins_are_named(tmp_path: Path) -> None:
    host = machine(tmp_path)
    (tmp_path / "usr/lib/cni/host-local").unlink()
    (found,) = tools.plugins(host)
    assert found.level == "fail"
    assert "host-local" in found.found


def test_no_registry_is_a_warning_with_a_way_around(tmp_path: Path) -> None:
    (found,) = network.registry(machine(tmp_path, connect=lambda host, port: "timed out"))
    assert (found.level, "import" in found.mend) == ("warn", True)


@pytest.mark.parametrize(("free", "level"), [(100 << 20, "fail"), (1 << 30, "warn"), (9 << 30, "ok")])
def test_room(tmp_path: Path, free: int, level: str) -> None:
    assert next(storage.room(machine(tmp_path, free=lambda path: (free, 1_000_000)))).level == level


def test_the_file_system_below_the_state_is_the_longest_mount() -> None:
    mounts = "/dev/a / ext4 rw 0 0\nserver:/x /var/lib nfs4 rw 0 0\n"
    assert storage.mounted_type(mounts, "/var/lib/polong") == "nfs4"
    assert storage.mounted_type(mounts, "/srv") == "ext4"


def test_what_is_wrong_is_explained_below_the_table() -> None:
    lines = render([Finding("conmon", "fail", "not found", "no container can be started", "apt install conmon")])
    assert lines[-5:] == [
        "fail: conmon: not found",
        "  means: no container can be started",
        "  mend:  apt install conmon",
        "",
        "1 missing: a node cannot run well here.",
    ]
