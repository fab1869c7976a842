"""What a container can try from inside, call by call and path by path: rows 14 to 17 and 90 of docs/security.md."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures import oci

from polong.criapi.wire import v1
from polong.kit.errors import PolongError
from polong.linux import mountinfo, proc
from polong.oci.spec.security import MASKED_PATHS, READONLY_PATHS

pytestmark = pytest.mark.root

_SOURCE = Path(__file__).with_name("probe.c")
# root of a container with the default capabilities. A filter that does not know a new way in says that there is none.
_REFUSED = frozenset({"EPERM", "ENOSYS"})
_NOT_PERMITTED = frozenset({"EPERM"})
_CALLS = """
    unshare-user unshare-mount clone-user clone3-user fsopen open_tree move_mount setns bpf userfaultfd open_by_handle_at keyctl add_key
    request_key perf_event_open io_uring_setup init_module kexec_load syslog swapon settimeofday acct quotactl iopl
"""
_EXPECTED = {
    **dict.fromkeys(_CALLS.split(), _REFUSED),
    # The node can be made (MKNOD is among the defaults); the device cgroup does not open it.
    **dict.fromkeys(("mount", "mount-cgroup", "umount", "pivot_root", "sethostname", "mknod-disk"), _NOT_PERMITTED),
    "ptrace-child": frozenset({"ok"}),
}


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    program = tmp_path_factory.mktemp("probe") / "probe"
    subprocess.run(["gcc", "-static", "-O1", "-o", str(program), str(_SOURCE)], check=True)
    return program.read_bytes()


async def tried(node: Any, container: str) -> dict[str, str]:
    lines = (await node.output(container, "/probe")).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def profile(kind: int, reference: str = "") -> v1.LinuxContainerConfig:
    return v1.LinuxContainerConfig(
        security_context=v1.LinuxContainerSecurityContext(seccomp=v1.SecurityProfile(profile_type=kind, localhost_ref=reference))
    )


async def test_system_calls(either: Any, probe: bytes) -> None:
    image = await either.image("probe", oci.file(b"probe", probe, mode=0o755))
    sandbox = await either.run()
    container = await either.started(sandbox, "sleep", "1000", image=image)
    found = await tried(either, container)
    assert {name: word for name, word in found.items() if word not in _EXPECTED[name]} == {}
    assert set(found) == set(_EXPECTED)
    # The probe can tell: without the filter the same calls get further.
    free = await tried(either, await either.started(sandbox, "sleep", "1000", image=image, linux=profile(v1.SecurityProfile.Unconfined)))
    assert (free["unshare-user"], free["keyctl"], free["mount"]) == ("ok", "ok", "EPERM")


async def test_profiles_that_cannot_be_had(node: Any, tmp_path: Path) -> None:
    """CVE-2023-2431: an empty, relative, climbing, missing or overlong profile is an error, and never Unconfined."""
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * (5 << 20))
    link = tmp_path / "directory.json"
    link.mkdir()
    sandbox = await node.run()
    for reference in ("", "profile.json", "../profile.json", f"{tmp_path}/missing.json", str(huge), str(link), "/dev/zero"):
        with pytest.raises(PolongError) as caught:
            await node.started(sandbox, "sleep", "1000", linux=profile(v1.SecurityProfile.Localhost, reference))
        assert "seccomp" in caught.value.message, reference
        assert caught.value.reason, reference


async def test_paths_of_the_kernel(either: Any) -> None:
    container = await either.started(await either.run(), "sleep", "1000")
    root = Path(f"/proc/{either.pid(container)}/root")
    on_top = {mount.target: mount for mount in mountinfo.read(either.pid(container))}
    for path in MASKED_PATHS:
        if (root / path.lstrip("/")).exists():
            listed = f"if [ -d {path} ]; then ls -A {path}; else cat {path}; fi"
            assert await either.output(container, "sh", "-c", listed) == "", path
    for path in READONLY_PATHS:
        if (root / path.lstrip("/")).exists():
            assert "ro" in on_top[path].options, path
            if not (root / path.lstrip("/")).is_dir():
                assert b"Read-only file system" in (await either.exec(container, "sh", "-c", f"echo x > {path}")).stderr, path
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/sys/kernel/mm/transparent_hugepage/enabled"):
        assert (await either.exec(container, "sh", "-c", f"echo x > {path}")).exit_code != 0, path


async def test_cgroups(either: Any) -> None:
    """CVE-2022-0492: no release_agent, no new group, no limit of one's own."""
    container = await either.started(await either.run(), "sleep", "1000")
    script = (
        "for f in /sys/fs/cgroup/*/; do"
        " (echo x > $f/release_agent) 2>/dev/null && echo $f/release_agent; (echo 1 > $f/notify_on_release) 2>/dev/null && echo $f/notify;"
        " /bin/busybox mkdir $f/new 2>/dev/null && echo $f/new; (echo max > $f/pids.max) 2>/dev/null && echo $f/pids.max;"
        " (echo 1 > $f/cgroup.procs) 2>/dev/null && echo $f/cgroup.procs; done; echo end"
    )
    assert await either.output(container, "sh", "-c", script) == "end\n"
    groups = proc.cgroups(either.pid(container))
    record = either.engine.table.containers[container].record
    assert all(path.startswith(record.cgroup) for names, path in groups.items() if names in {"memory", "pids", "cpu,cpuacct", "freezer"})


async def test_neighbours_are_seen_only_where_the_namespace_is_shared(node: Any) -> None:
    """By design (KEP-495), and no further: environments and roots are there for the same user in a shared Pod, and for nobody else."""
    secret = [v1.KeyValue(key="PASSWORD", value="s3cret")]
    look = "cat /proc/[0-9]*/environ 2>/dev/null | grep -c s3cret; true"
    other = v1.LinuxContainerConfig(security_context=v1.LinuxContainerSecurityContext(run_as_user=v1.Int64Value(value=1234)))
    for mode, seen in ((v1.POD, True), (v1.CONTAINER, False)):
        sandbox = await node.run(pid=mode)
        await node.started(sandbox, "sleep", "1000", envs=secret)
        same = await node.started(sandbox, "sh", "-c", "sleep 1000")
        foreign = await node.started(sandbox, "sh", "-c", "sleep 1000", linux=other)
        assert (await node.output(same, "sh", "-c", look) != "0\n") is seen
        assert await node.output(foreign, "sh", "-c", look) == "0\n"
        reached = await node.exec(foreign, "sh", "-c", "for p in /proc/[0-9]*; do [ -e $p/root/etc/passwd ] && cat $p/cmdline; done")
        assert b"sleep\x001000\x00sleep" not in reached.stdout
