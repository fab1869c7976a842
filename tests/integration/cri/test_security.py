"""What a container may and may not, read from the kernel: host namespaces, users, capabilities, filter, read-only root, limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from polong.cri.host import HostKernel
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition
from polong.linux import proc
from polong.oci.spec import capabilities

pytestmark = pytest.mark.root
HOST = os.getpid()
UNCONFINED = v1.SecurityProfile(profile_type=v1.SecurityProfile.Unconfined)
DEFAULT = v1.SecurityProfile(profile_type=v1.SecurityProfile.RuntimeDefault)


def secured(**fields: Any) -> v1.LinuxContainerConfig:
    return v1.LinuxContainerConfig(security_context=v1.LinuxContainerSecurityContext(**fields))


def sandbox_of(**fields: Any) -> v1.LinuxPodSandboxConfig:
    return v1.LinuxPodSandboxConfig(security_context=v1.LinuxSandboxSecurityContext(**fields))


def ns(pid: int, kind: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


async def test_all_of_the_hosts_namespaces(node: Any) -> None:
    options = v1.NamespaceOption(ipc=v1.NODE)
    sandbox = await node.run(pid=v1.NODE, network=v1.NODE, linux=sandbox_of(namespace_options=options))
    container = await node.started(sandbox, "sleep", "1000")
    for kind in ("pid", "net", "ipc"):
        assert ns(node.pid(container), kind) == ns(HOST, kind), kind
    for kind in ("mnt", "uts"):
        found = ns(node.pid(container), kind) == ns(HOST, kind)
        # Kubernetes: a Pod on the host's network has the host's name as well.
        assert found is (kind == "uts"), kind
    seen = await node.output(container, "ps", "-o", "pid")
    assert str(HOST) in seen.split()
    # The host's processes are seen, and not for the taking: no ptrace, no kill beyond what root without capabilities may.
    refused = await node.exec(container, "ls", f"/proc/{HOST}/root/")
    assert refused.exit_code != 0
    await node.stop(container, 5)
    assert proc.alive(HOST)


async def test_stopping_a_pod_in_the_hosts_pid_namespace_kills_its_own_alone(node: Any) -> None:
    one, two = await node.run(pid=v1.NODE), await node.run(pid=v1.NODE)
    mine = await node.started(one, "sh", "-c", "setsid sleep 555 & sleep 1000")
    other = await node.started(two, "sleep", "1000")
    await node.until(lambda: len(node.groups.processes(node.engine.table.containers[mine].record.cgroup)) >= 2)
    held = set(node.groups.processes(node.engine.table.containers[mine].record.cgroup))
    await node.stop(mine, 0)
    assert not [pid for pid in held if proc.alive(pid)]
    assert proc.alive(node.pid(other))


async def check_rights(node: Any) -> None:
    """The default, what is added and dropped, everything for privileged."""
    sandbox = await node.run(linux=sandbox_of(privileged=True))
    everything = node.settings.host.capabilities
    added = v1.Capability(add_capabilities=["SYS_PTRACE", "NET_ADMIN"], drop_capabilities=["CHOWN"])
    none = v1.Capability(drop_capabilities=["ALL"])
    cases = {
        "default": (secured(seccomp=DEFAULT), capabilities.effective([], [], everything), 2),
        "changed": (
            secured(capabilities=added, seccomp=DEFAULT, no_new_privs=True),
            capabilities.effective(added.add_capabilities, added.drop_capabilities, everything),
            2,
        ),
        "none": (secured(capabilities=none, seccomp=UNCONFINED), frozenset(), 0),
        "privileged": (secured(privileged=True, seccomp=DEFAULT), everything, 0),
    }
    for name, (linux, wanted, mode) in cases.items():
        container = await node.started(sandbox, "sleep", "1000", name=name, linux=linux)
        for status in (proc.status(node.pid(container)), proc.parse_status(await node.output(container, "cat", "/proc/self/status"))):
            assert set(capabilities.from_mask(status.cap_bounding)) == set(wanted), name
            assert set(capabilities.from_mask(status.cap_effective)) == set(wanted), name
            assert (status.cap_inheritable, status.cap_ambient) == (0, 0), name
            assert status.seccomp == mode, name
            assert status.no_new_privileges is linux.security_context.no_new_privs, name


async def test_rights(node: Any) -> None:
    await check_rights(node)


async def test_rights_under_runc(runc_node: Any) -> None:
    await check_rights(runc_node)


async def check_root_and_users(node: Any, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, 0, 2000)
    volume.chmod(0o2775)
    sandbox = await node.run()
    linux = secured(
        readonly_rootfs=True,
        run_as_user=v1.Int64Value(value=1234),
        run_as_group=v1.Int64Value(value=1500),
        supplemental_groups=[2000],
    )
    mounts = [v1.Mount(host_path=str(volume), container_path="/data"), v1.Mount(host_path=str(volume), container_path="/ro", readonly=True)]
    container = await node.started(sandbox, "sleep", "1000", linux=linux, mounts=mounts)
    assert (await node.output(container, "id")).split()[:2] == ["uid=1234", "gid=1500"]
    assert (await node.output(container, "sh", "-c", "id -G")).split() == ["1500", "2000"]
    for path in ("/x", "/etc/x", "/ro/x", "/sys/x", "/proc/sys/kernel/hostname"):
        assert (await node.exec(container, "sh", "-c", f"echo x > {path}")).exit_code != 0, path
    await node.output(container, "sh", "-c", "echo mine > /data/file && echo y > /dev/shm/y")
    found = (volume / "file").stat()
    # fsGroup: the group of the volume, by its set-group-id bit.
    assert (found.st_uid, found.st_gid) == (1234, 2000)
    root = await node.started(sandbox, "sleep", "1000", linux=secured(readonly_rootfs=True))
    refused = await node.exec(root, "sh", "-c", "echo x > /x")
    assert (refused.exit_code != 0, b"Read-only" in refused.stderr) == (True, True)
    writable = await node.started(sandbox, "sleep", "1000")
    await node.output(writable, "sh", "-c", "echo x > /x")


async def test_read_only_root_users_and_groups(node: Any, tmp_path: Path) -> None:
    await check_root_and_users(node, tmp_path)


async def test_read_only_root_users_and_groups_under_runc(runc_node: Any, tmp_path: Path) -> None:
    await check_root_and_users(runc_node, tmp_path)


async def test_privileged_has_the_hosts_devices_and_needs_a_privileged_sandbox(node: Any) -> None:
    plain = await node.run()
    with pytest.raises(FailedPrecondition, match="privileged"):
        await node.create(plain, "sleep", "1000", linux=secured(privileged=True))
    debugged = v1.PodSandboxConfig()
    debugged.linux.security_context.privileged = True
    await node.create(plain, "sleep", "1000", linux=secured(privileged=True), sandbox_config=debugged)
    sandbox = await node.run(linux=sandbox_of(privileged=True))
    container = await node.started(sandbox, "sleep", "1000", linux=secured(privileged=True))
    devices = set((await node.output(container, "ls", "/dev")).split())
    assert {"kmsg", "full"} & {path.name for path in Path("/dev").iterdir()} <= devices
    mounts = [line.split() for line in (await node.output(container, "cat", "/proc/mounts")).splitlines()]
    assert {fields[3].split(",")[0] for fields in mounts if fields[1] == "/sys"} == {"rw"}
    assert not [fields for fields in mounts if fields[1].startswith(("/proc/", "/sys/firmware"))]


async def check_oom(node: Any) -> None:
    """One container of a shared Pod is out of memory: it alone is killed, and told so."""
    sandbox = await node.run(pid=v1.POD)
    limited = v1.LinuxContainerConfig(
        resources=v1.LinuxContainerResources(memory_limit_in_bytes=24 << 20, memory_swap_limit_in_bytes=24 << 20, cpu_shares=512)
    )
    sibling = await node.started(sandbox, "sleep", "1000")
    greedy = await node.started(sandbox, "sh", "-c", "sleep 0.2; dd if=/dev/zero of=/dev/null bs=100M count=1; exit $?", linux=limited)
    eater = await node.started(sandbox, "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1", linux=limited)
    status = await node.over(eater)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")
    assert (await node.over(greedy)).reason == "OOMKilled"
    before = node.pid(sibling), node.pause(sandbox)
    assert all(proc.alive(pid) for pid in before)
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_READY
    assert (await node.status(sibling)).state == v1.CONTAINER_RUNNING
    killed = await node.started(sandbox, "sleep", "1000", linux=limited)
    assert (await node.stop(killed, 0)).reason == "Error"


@pytest.mark.behaviour("pid-stop/oom")
async def test_out_of_memory_in_a_shared_pod(node: Any) -> None:
    await check_oom(node)


async def test_out_of_memory_in_a_shared_pod_under_runc(runc_node: Any) -> None:
    await check_oom(runc_node)


async def check_limits(node: Any) -> None:
    sandbox = await node.run()
    asked = v1.LinuxContainerResources(
        memory_limit_in_bytes=64 << 20, cpu_shares=512, cpu_quota=50_000, cpu_period=100_000, oom_score_adj=500
    )
    container = await node.started(sandbox, "sleep", "1000", linux=v1.LinuxContainerConfig(resources=asked))
    record = node.engine.table.containers[container].record
    found = {}
    for directory in node.groups.directories(record.cgroup):
        for name in ("memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares", "cpu.max", "cpu.weight"):
            if (Path(directory) / name).exists():
                found[name] = (Path(directory) / name).read_text().strip()
    assert str(64 << 20) in (found.get("memory.limit_in_bytes"), found.get("memory.max")), found
    if "cpu.max" in found:
        assert found["cpu.max"] == "50000 100000"
    else:
        assert (found["cpu.cfs_quota_us"], found["cpu.cfs_period_us"], found["cpu.shares"]) == ("50000", "100000", "512")
    assert Path(f"/proc/{node.pid(container)}/oom_score_adj").read_text().strip() == "500"
    assert HostKernel(node.groups).usage(record.cgroup).memory > 0


async def test_limits_reach_the_cgroup_files(node: Any) -> None:
    await check_limits(node)


async def test_limits_reach_the_cgroup_files_under_runc(runc_node: Any) -> None:
    await check_limits(runc_node)


async def test_a_termination_log_of_any_name_below_dev(node: Any, tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.touch()
    sandbox = await node.run()
    mount = v1.Mount(host_path=str(message), container_path="/dev/termination-custom-log")
    container = await node.started(sandbox, "sh", "-c", "printf DONE > /dev/termination-custom-log", mounts=[mount])
    assert (await node.over(container)).exit_code == 0
    assert message.read_text() == "DONE"
