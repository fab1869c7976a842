from __future__ import annotations

from dataclasses import replace

import pytest

from polong.cri import spec
from polong.cri.ports import ImageConfig
from polong.cri.spec import ContainerInputs, SandboxFiles
from polong.cri.users import Identity
from polong.criapi.wire import v1
from polong.kit.errors import Invalid, Unsupported
from polong.oci.spec import build
from polong.oci.spec.capabilities import DEFAULT, NAMES
from polong.oci.spec.model import Host, Mount, Namespaces

HOST = Host(architecture="x86_64", capabilities=frozenset(NAMES) - {"CAP_SYS_RESOURCE"})
FILES = SandboxFiles("/s/hostname", "/s/resolv.conf", "/s/shm")
IMAGE = ImageConfig(entrypoint=("/entry",), cmd=("a", "b"), env=("PATH=/bin", "X=image", "broken"), working_dir="/srv")


def inputs(config: v1.ContainerConfig | None = None, **changes: object) -> ContainerInputs:
    base = ContainerInputs(
        config=config or v1.ContainerConfig(),
        image=IMAGE,
        rootfs="/rootfs",
        cgroup="/polong/x/c",
        identity=Identity(0, 0, (0,), "/root"),
        namespaces=Namespaces(),
        files=FILES,
        hostname="pod",
        host=HOST,
    )
    return replace(base, **changes)


def security(**fields: object) -> v1.ContainerConfig:
    config = v1.ContainerConfig()
    config.linux.security_context.MergeFrom(v1.LinuxContainerSecurityContext(**fields))
    return config


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ([], [], ("/entry", "a", "b")),
        ([], ["z"], ("/entry", "z")),
        (["/x"], [], ("/x",)),
        (["/x"], ["z"], ("/x", "z")),
    ],
)
def test_command_replaces_the_entrypoint_and_drops_cmd(command: list[str], args: list[str], expected: tuple[str, ...]) -> None:
    assert spec.arguments(v1.ContainerConfig(command=command, args=args), IMAGE) == expected


def test_no_command_at_all_is_said() -> None:
    with pytest.raises(Invalid, match="no command specified"):
        spec.arguments(v1.ContainerConfig(), ImageConfig())


def test_environment_image_then_hostname_then_container() -> None:
    config = v1.ContainerConfig(envs=[v1.KeyValue(key="X", value="mine"), v1.KeyValue(key="Y", value="a=b")])
    assert spec.environment(config, IMAGE, hostname="pod", home="/root") == ("PATH=/bin", "X=mine", "HOSTNAME=pod", "Y=a=b", "HOME=/root")


def test_home_of_the_image_stays() -> None:
    assert "HOME=/own" in spec.environment(v1.ContainerConfig(), ImageConfig(env=("HOME=/own",)), hostname="", home="/root")


@pytest.mark.parametrize("path", ["relative", "/proc/self/fd/7", "/proc", "/sys/fs", "//proc//1/cwd", "/a/../proc/1", "/dev/fd/9"])
def test_working_directories_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(Invalid, match="working directory"):
        spec.working_directory(v1.ContainerConfig(working_dir=path), ImageConfig())
    with pytest.raises(Invalid, match="working directory"):
        spec.working_directory(v1.ContainerConfig(), ImageConfig(working_dir=path))


def test_working_directory_of_the_container_wins() -> None:
    assert spec.working_directory(v1.ContainerConfig(working_dir="/w"), IMAGE) == "/w"
    assert spec.working_directory(v1.ContainerConfig(), IMAGE) == "/srv"
    assert spec.working_directory(v1.ContainerConfig(), ImageConfig()) == "/"


@pytest.mark.parametrize(
    "path", ["/", "/proc", "//proc/.", "/proc/sys", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/null", "/a/../proc", "", "/x/../.."]
)
def test_mounts_at_the_kernels_places_are_refused(path: str) -> None:
    with pytest.raises(Invalid):
        spec.checked_destination(path, privileged=False)


@pytest.mark.parametrize("path", ["/dev/termination-log", "/dev/termination-custom-log", "/dev/shm", "/data", "/procfoo", "relative"])
def test_other_places_are_free(path: str) -> None:
    assert spec.checked_destination(path, privileged=False) == f"/{path.lstrip('/')}"


def test_privileged_containers_may_take_dev_and_sys_but_never_proc() -> None:
    assert spec.checked_destination("/dev", privileged=True) == "/dev"
    assert spec.checked_destination("/sys", privileged=True) == "/sys"
    with pytest.raises(Invalid):
        spec.checked_destination("/proc", privileged=True)


def test_mounts_bring_the_sandboxs_files_unless_the_container_has_its_own() -> None:
    config = v1.ContainerConfig(mounts=[v1.Mount(host_path="/h/resolv", container_path="/etc/resolv.conf", readonly=True)])
    assert spec.mounts(config, FILES) == (Mount("/h/resolv", "/etc/resolv.conf", readonly=True), Mount("/s/hostname", "/etc/hostname"))
    config = v1.ContainerConfig(mounts=[v1.Mount(host_path="/h/etc", container_path="/etc")])
    assert spec.mounts(config, FILES) == (Mount("/h/etc", "/etc"),)


def test_propagation_and_read_only() -> None:
    config = security(privileged=True)
    config.mounts.add(host_path="/h", container_path="/a", propagation=v1.PROPAGATION_HOST_TO_CONTAINER)
    config.mounts.add(host_path="/h", container_path="/b", propagation=v1.PROPAGATION_BIDIRECTIONAL)
    config.mounts.add(host_path="/h", container_path="/c", readonly=True, recursive_read_only=True)
    found = spec.mounts(config, SandboxFiles("", "", ""))
    assert [each.propagation for each in found] == ["rslave", "rshared", "private"]
    assert found[2].recursive_read_only


def test_bidirectional_needs_privileges() -> None:
    config = v1.ContainerConfig(mounts=[v1.Mount(host_path="/h", container_path="/b", propagation=v1.PROPAGATION_BIDIRECTIONAL)])
    with pytest.raises(Invalid, match="privileged"):
        spec.mounts(config, FILES)


def test_capabilities_with_and_without_prefix_and_all() -> None:
    config = security(capabilities=v1.Capability(add_capabilities=["SYS_PTRACE", "CAP_NET_ADMIN"], drop_capabilities=["MKNOD"]))
    assert spec.container(inputs(config)).capabilities == (DEFAULT | {"CAP_SYS_PTRACE", "CAP_NET_ADMIN"}) - {"CAP_MKNOD"}
    config = security(capabilities=v1.Capability(add_capabilities=["KILL"], drop_capabilities=["ALL"]))
    assert spec.container(inputs(config)).capabilities == {"CAP_KILL"}


def test_a_privileged_container_has_all_capabilities_of_the_host() -> None:
    found = spec.container(inputs(security(privileged=True)))
    assert found.privileged
    assert found.capabilities == HOST.capabilities


@pytest.mark.parametrize(
    "config",
    [
        v1.ContainerConfig(CDI_devices=[v1.CDIDevice(name="x")]),
        v1.ContainerConfig(windows=v1.WindowsContainerConfig()),
    ],
)
def test_what_is_not_supported_is_refused_by_name(config: v1.ContainerConfig) -> None:
    with pytest.raises(Unsupported) as error:
        spec.container(inputs(config))
    assert error.value.reason == "CreateContainerError"


def test_ambient_capabilities_are_among_those_of_the_container() -> None:
    found = spec.container(inputs(security(capabilities=v1.Capability(add_ambient_capabilities=["KILL"]))))
    assert found.ambient_capabilities == {"CAP_KILL"}
    with pytest.raises(Invalid, match="CAP_SYS_ADMIN are not among"):
        spec.container(inputs(security(capabilities=v1.Capability(add_ambient_capabilities=["SYS_ADMIN"]))))


def test_an_image_volume_must_be_read_only() -> None:
    mount = v1.Mount(container_path="/i", host_path="/mounted", image=v1.ImageSpec(image="busybox"))
    with pytest.raises(Invalid, match="must be read-only"):
        spec.container(inputs(v1.ContainerConfig(mounts=[mount])))


@pytest.mark.parametrize(
    "mount",
    [
        v1.Mount(recursive_read_only=True),
        v1.Mount(recursive_read_only=True, readonly=True, propagation=v1.PROPAGATION_HOST_TO_CONTAINER),
        v1.Mount(recursive_read_only=True, readonly=True, propagation=v1.PROPAGATION_BIDIRECTIONAL),
    ],
)
def test_a_recursive_read_only_mount_is_read_only_and_private(mount: v1.Mount) -> None:
    mount.container_path, mount.host_path = "/i", "/h"
    with pytest.raises(Invalid):
        spec.container(inputs(v1.ContainerConfig(mounts=[mount])))


def test_annotations_and_labels_never_reach_the_runtime() -> None:
    config = v1.ContainerConfig(annotations={"run.oci.x": "1", "org.systemd.property.Y": "2"}, labels={"io.kubernetes.z": "3"})
    document = build.container(spec.container(inputs(config)), HOST)
    assert "annotations" not in document
    assert "run.oci" not in str(document)


def test_resources_leave_zero_unsaid() -> None:
    asked = v1.LinuxContainerResources(cpu_shares=512, memory_limit_in_bytes=1 << 20, hugepage_limits=[v1.HugepageLimit(page_size="2MB")])
    found = spec.resources(asked)
    assert (found.cpu_shares, found.memory, found.cpu_quota, found.hugepages) == (512, 1 << 20, None, {})


def test_two_containers_of_one_image_share_nothing() -> None:
    one = spec.container(inputs(v1.ContainerConfig(envs=[v1.KeyValue(key="SECRET", value="1")])))
    two = spec.container(inputs())
    assert not any(entry.startswith("SECRET") for entry in two.env)
    assert one.env != two.env


def test_the_sandbox_takes_its_sysctls_and_shm() -> None:
    config = v1.PodSandboxConfig(hostname="pod")
    config.linux.sysctls["net.ipv4.ip_unprivileged_port_start"] = "0"
    found = spec.sandbox(
        config, rootfs="/p", cgroup="/polong/x", namespaces=Namespaces(network="/n"), seccomp=None, apparmor="", shm="/s/shm"
    )
    document = build.sandbox(found, HOST)
    assert document["linux"]["sysctl"] == {"net.ipv4.ip_unprivileged_port_start": "0"}
    assert document["hostname"] == "pod"
