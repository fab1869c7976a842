"""config.json as the boundary: what every container has, whatever was asked for."""

from dataclasses import replace

import pytest

from polong.kit.errors import Invalid, Unsupported
from polong.oci.spec import build, capabilities, process
from polong.oci.spec.model import (
    NODE,
    ContainerSpec,
    Device,
    Host,
    Mount,
    Namespaces,
    Resources,
    Rlimit,
    SandboxSpec,
    Tmpfs,
    User,
)

HOST = Host(
    "x86_64", frozenset(capabilities.NAMES) - {"CAP_SYS_RESOURCE"}, oom_score_adj=-100, devices=(Device("/dev/fuse", "c", 10, 229),)
)
SPEC = ContainerSpec(rootfs="/r", args=("/bin/sh",), cgroup="/polong/n/p/c", capabilities=capabilities.DEFAULT)
SANDBOX = SandboxSpec(rootfs="/p", hostname="pod", cgroup="/polong/n/p/s")
VARIANTS = [
    SPEC,
    replace(SPEC, privileged=True),
    replace(SPEC, readonly_rootfs=True),
    replace(SPEC, privileged=True, readonly_rootfs=True, terminal=True),
    replace(SPEC, namespaces=Namespaces(NODE, NODE, NODE, NODE, NODE)),
]


def mount(config, destination):
    return next(item for item in config["mounts"] if item["destination"] == destination)


@pytest.mark.parametrize("config", [build.container(spec, HOST) for spec in VARIANTS] + [build.sandbox(SANDBOX, HOST)])
def test_what_always_holds(config):
    assert (mount(config, "/dev")["type"], mount(config, "/dev")["source"]) == ("tmpfs", "tmpfs")
    assert mount(config, "/dev/pts")["type"] == "devpts"
    assert mount(config, "/proc")["type"] == "proc"
    assert config["process"]["capabilities"]["inheritable"] == config["process"]["capabilities"]["ambient"] == []
    assert "annotations" not in config
    assert "hooks" not in config
    assert {"type": "mount"} in config["linux"]["namespaces"]
    assert config["linux"]["cgroupsPath"].startswith("/polong/n/p/")
    assert config["process"]["user"]["gid"] in config["process"]["user"]["additionalGids"]
    assert config["process"]["oomScoreAdj"] >= HOST.oom_score_adj


def test_the_default_container_is_fenced():
    config = build.container(SPEC, HOST)
    linux = config["linux"]
    assert len(linux["maskedPaths"]) == 12
    assert {"/proc/kcore", "/proc/acpi", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/interrupts"} <= set(
        linux["maskedPaths"]
    )
    assert linux["readonlyPaths"] == ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    deny, *allowed = linux["resources"]["devices"]
    assert deny == {"allow": False, "access": "rwm"}
    assert {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"} in allowed
    assert all(rule["access"] == "m" for rule in allowed if "major" not in rule)
    assert "ro" in mount(config, "/sys")["options"]
    assert "ro" in mount(config, "/sys/fs/cgroup")["options"]
    assert config["process"]["noNewPrivileges"] is True
    assert "CAP_SYS_ADMIN" not in config["process"]["capabilities"]["bounding"]
    assert "devices" not in linux


def test_the_sandbox_has_no_rights_at_all():
    config = build.sandbox(SANDBOX, HOST)
    assert config["process"]["capabilities"]["bounding"] == []
    assert config["root"]["readonly"] is True
    assert config["process"]["args"] == ["/pause"]
    assert config["hostname"] == "pod"


@pytest.mark.parametrize(
    ("value", "entry"),
    [(NODE, None), ("new", {"type": "pid"}), ("/proc/7/ns/pid", {"type": "pid", "path": "/proc/7/ns/pid"})],
)
def test_the_pid_namespace_is_absent_new_or_joined(value, entry):
    listed = build.container(replace(SPEC, namespaces=Namespaces(pid=value)), HOST)["linux"]["namespaces"]
    assert [item for item in listed if item["type"] == "pid"] == ([] if entry is None else [entry])


def test_a_bad_namespace_is_refused():
    with pytest.raises(Invalid, match="neither node, new nor an absolute path"):
        build.container(replace(SPEC, namespaces=Namespaces(pid="POD")), HOST)


def test_privileged():
    config = build.container(replace(SPEC, privileged=True, seccomp={"defaultAction": "SCMP_ACT_ALLOW"}), HOST)
    assert config["linux"]["maskedPaths"] == config["linux"]["readonlyPaths"] == []
    assert "seccomp" not in config["linux"]
    assert config["linux"]["devices"][0]["path"] == "/dev/fuse"
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert set(config["process"]["capabilities"]["bounding"]) == HOST.capabilities


def test_mounts_parents_first_and_user_mounts_win_over_shm():
    spec = replace(
        SPEC,
        mounts=(Mount("/v/b", "/data/deep", readonly=True), Mount("/v/a", "/data", propagation="rslave"), Mount("/v/shm", "/dev/shm")),
        tmpfs=(Tmpfs("/tmp", size=4096, mode=0o1777),),
        shm="/run/shm",
    )
    config = build.container(spec, HOST)
    order = [item["destination"] for item in config["mounts"]]
    assert order.index("/proc") < order.index("/data") < order.index("/data/deep")
    assert order.count("/dev/shm") == 1
    assert mount(config, "/dev/shm")["source"] == "/v/shm"
    assert mount(config, "/data")["options"] == ["rbind", "rslave", "rw"]
    assert mount(config, "/data/deep")["options"] == ["rbind", "rprivate", "ro"]
    assert mount(config, "/tmp")["options"] == ["nosuid", "nodev", "mode=1777", "size=4096"]
    assert config["linux"]["rootfsPropagation"] == "rslave"
    with pytest.raises(Invalid, match="propagation"):
        build.container(replace(SPEC, mounts=(Mount("/a", "/b", propagation="odd"),)), HOST)


def test_shm_is_the_pods_or_the_nodes():
    assert mount(build.container(replace(SPEC, shm="/run/p/shm"), HOST), "/dev/shm")["source"] == "/run/p/shm"
    assert mount(build.container(replace(SPEC, namespaces=Namespaces(ipc=NODE)), HOST), "/dev/shm")["source"] == "/dev/shm"
    assert mount(build.container(SPEC, HOST), "/dev/shm")["type"] == "tmpfs"


@pytest.mark.parametrize(
    "changes",
    [
        {"args": ()},
        {"args": ("",)},
        {"args": ("a\0b",)},
        {"env": ("NOVALUE",)},
        {"env": ("=x",)},
        {"env": ("A=b\0c",)},
        {"cwd": "relative"},
        {"cwd": "/a\0"},
        {"user": User(2**31)},
        {"user": User(-1)},
        {"user": User(groups=(2**32,))},
    ],
)
def test_impossible_processes_are_refused(changes):
    with pytest.raises(Invalid):
        build.container(replace(SPEC, **changes), HOST)


def test_environment_defaults_do_not_override():
    assert build.container(replace(SPEC, env=("PATH=/x", "A=1=2")), HOST)["process"]["env"] == ["PATH=/x", "A=1=2"]
    assert "TERM=xterm" in build.container(replace(SPEC, terminal=True), HOST)["process"]["env"]


def test_resources_say_only_what_was_said():
    config = build.container(replace(SPEC, resources=Resources(cpu_shares=2, memory=1 << 20), rlimits=(Rlimit("RLIMIT_CORE", 0, 0),)), HOST)
    found = {key: value for key, value in config["linux"]["resources"].items() if key != "devices"}
    assert found == {"cpu": {"shares": 2}, "memory": {"limit": 1 << 20}}
    assert config["process"]["rlimits"] == [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]


@pytest.mark.parametrize(
    ("name", "value", "namespaces"),
    [
        ("kernel.core_pattern", "x", Namespaces()),
        ("net/../kernel/core_pattern", "x", Namespaces()),
        ("kernel.shmmax", "1\n2", Namespaces()),
        ("kernel.shmmax", "1", Namespaces(ipc=NODE)),
        ("net.ipv4.ip_forward", "1", Namespaces(network=NODE)),
        ("vm.swappiness", "1", Namespaces()),
    ],
)
def test_sysctls_stay_in_the_pods_namespaces(name, value, namespaces):
    with pytest.raises(Invalid) as caught:
        build.sandbox(replace(SANDBOX, sysctls={name: value}, namespaces=namespaces), HOST)
    assert caught.value.reason == "SysctlForbidden"


def test_sysctls_are_set_one_by_one():
    config = build.sandbox(replace(SANDBOX, sysctls={"net/ipv4/ip_local_port_range": "1024 65000", "kernel.shm_rmid_forced": "1"}), HOST)
    assert config["linux"]["sysctl"] == {"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "1024 65000"}


def test_an_exec_has_the_containers_rights():
    config = build.container(replace(SPEC, user=User(5, 6, (7,)), cwd="/w", env=("A=b",)), HOST)
    made = process.for_exec(config, ["id"], terminal=True)
    assert made["user"] == {"uid": 5, "gid": 6, "additionalGids": [6, 7]}
    assert (made["cwd"], made["args"], made["terminal"]) == ("/w", ["id"], True)
    assert made["capabilities"] == config["process"]["capabilities"]
    assert "TERM=xterm" in made["env"]
    assert config["process"]["args"] == ["/bin/sh"]


def test_capability_lists():
    everything = HOST.capabilities
    assert capabilities.effective([], [], everything) == capabilities.DEFAULT
    assert capabilities.effective(["SYS_PTRACE"], ["ALL"], everything) == {"CAP_SYS_PTRACE"}
    assert capabilities.effective(["sys_ptrace"], ["CAP_MKNOD"], everything) == (capabilities.DEFAULT | {"CAP_SYS_PTRACE"}) - {"CAP_MKNOD"}
    assert capabilities.effective(["ALL"], ["NET_RAW"], everything) == everything - {"CAP_NET_RAW"}
    with pytest.raises(Invalid, match="unknown capability"):
        capabilities.effective(["NONSENSE"], [], everything)
    with pytest.raises(Unsupported, match="CAP_SYS_RESOURCE: this host withholds"):
        capabilities.effective(["SYS_RESOURCE"], [], everything)
    assert capabilities.from_mask(capabilities.mask(["CAP_KILL", "CAP_BPF"])) == {"CAP_KILL", "CAP_BPF"}
