"""ContainerConfig and PodSandboxConfig."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.doubles import UID, container, pod

from polong.criapi.wire import v1
from polong.kit.errors import Invalid
from polong.kubelet.config import DnsConfig
from polong.kubelet.containers import Mounted, Surroundings, container_config, dns_config, sandbox_config
from polong.kubelet.environment import Sources, environment
from polong.kubelet.resources import Machine
from polong.kubelet.security import MASKED_PATHS, ImageUser

Json = dict[str, Any]
AROUND = Surroundings(Machine(1 << 30, 1000), {}, Path("/seccomp"), image_ref="sha256:1")


def made(own: Json, **spec: Any) -> v1.ContainerConfig:
    whole = pod(own, **spec)
    around = dataclasses.replace(AROUND, environment=environment(whole, own, Sources()))
    return container_config(whole, own, 3, around)


def test_names_labels_and_annotations_are_the_kubelets() -> None:
    config = made(container())
    assert (config.metadata.name, config.metadata.attempt, config.log_path) == ("app", 3, "app/3.log")
    assert config.labels["io.kubernetes.pod.uid"] == UID
    assert config.labels["io.kubernetes.container.name"] == "app"
    assert config.annotations["io.kubernetes.container.restartCount"] == "3"
    assert config.annotations["io.kubernetes.container.terminationMessagePath"] == "/dev/termination-log"
    assert (config.image.image, config.image.user_specified_image) == ("sha256:1", "busybox:1.28")


def test_command_and_arguments_are_expanded() -> None:
    own = container(command=["$(A)", "$(N)"], args=["$$(A)"], env=[{"name": "A", "value": "x"}], workingDir="/w", tty=True, stdin=True)
    config = made(own)
    assert (list(config.command), list(config.args), config.working_dir) == (["x", "$(N)"], ["$(A)"], "/w")
    assert [(each.key, each.value) for each in config.envs] == [("A", "x")]
    assert (config.tty, config.stdin, config.stdin_once) == (True, True, False)


def test_mounts_carry_their_propagation() -> None:
    mounts = [Mounted(Path("/h"), "/c", True, "HostToContainer"), Mounted(Path("/i"), "/d")]
    own = container()
    config = container_config(pod(own), own, 0, Surroundings(AROUND.machine, AROUND.environment, Path("/s"), mounts))
    assert [(each.host_path, each.container_path, each.readonly, each.propagation) for each in config.mounts] == [
        ("/h", "/c", True, v1.PROPAGATION_HOST_TO_CONTAINER),
        ("/i", "/d", False, v1.PROPAGATION_PRIVATE),
    ]


def test_the_containers_security_context_wins_over_the_pods() -> None:
    own = container(securityContext={"runAsUser": 1, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True})
    found = made(
        own, securityContext={"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [7], "fsGroup": 8}
    ).linux.security_context
    assert (found.run_as_user.value, found.run_as_group.value) == (1, 2000)
    assert (found.no_new_privs, found.readonly_rootfs, list(found.supplemental_groups)) == (True, True, [7, 8])
    assert tuple(found.masked_paths) == MASKED_PATHS
    assert found.seccomp.profile_type == v1.SecurityProfile.RuntimeDefault


def test_root_is_a_user_and_not_the_absence_of_one() -> None:
    assert made(container(securityContext={"runAsUser": 0})).linux.security_context.HasField("run_as_user")
    assert not made(container()).linux.security_context.HasField("run_as_user")


def test_privileged_is_unmasked_and_unconfined() -> None:
    found = made(container(securityContext={"privileged": True})).linux.security_context
    assert found.privileged
    assert not found.masked_paths
    assert found.seccomp.profile_type == v1.SecurityProfile.Unconfined


def test_capabilities_lose_their_prefix() -> None:
    found = made(container(securityContext={"capabilities": {"add": ["SYS_PTRACE", "CAP_NET_ADMIN"], "drop": ["ALL"]}}))
    capabilities = found.linux.security_context.capabilities
    assert (list(capabilities.add_capabilities), list(capabilities.drop_capabilities)) == (["SYS_PTRACE", "NET_ADMIN"], ["ALL"])


@pytest.mark.parametrize("profile", ["", "/etc/passwd", "../x", "a/../../b", None])
def test_a_seccomp_profile_stays_below_its_directory(profile: str | None) -> None:
    own = container(securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": profile}})
    with pytest.raises(Invalid):
        made(own)


@pytest.mark.parametrize(
    ("context", "user", "text"),
    [
        ({"runAsUser": 0}, ImageUser(), "container's runAsUser breaks non-root policy"),
        ({}, ImageUser(), "container has runAsNonRoot and image will run as root"),
        ({}, ImageUser(uid=0), "container has runAsNonRoot and image will run as root"),
        ({}, ImageUser(name="nginx"), "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root"),
    ],
)
def test_must_not_be_root(context: Json, user: ImageUser, text: str) -> None:
    own = container(securityContext={"runAsNonRoot": True, **context})
    around = Surroundings(AROUND.machine, AROUND.environment, Path("/s"), image_user=user)
    with pytest.raises(Invalid) as error:
        container_config(pod(own), own, 0, around)
    assert str(error.value) == f'{text} (pod: "web_default({UID})", container: app)'


@pytest.mark.parametrize("context", [{"runAsUser": 5}, {}])
def test_is_not_root(context: Json) -> None:
    own = container(securityContext={"runAsNonRoot": True, **context})
    container_config(pod(own), own, 0, Surroundings(AROUND.machine, AROUND.environment, Path("/s"), image_user=ImageUser(uid=5)))


def test_the_sandbox() -> None:
    own = container(ports=[{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}, {"containerPort": 81}])
    config = sandbox_config(pod(own), 2, dns=DnsConfig(("10.0.0.1",)), logs=Path("/l"), cgroup_parent="/p/pod1")
    assert (config.hostname, config.metadata.attempt, config.linux.cgroup_parent) == ("web", 2, "/p/pod1")
    assert config.log_directory == f"/l/default_web_{UID}"
    assert [(each.host_port, each.container_port, each.protocol) for each in config.port_mappings] == [(8080, 80, v1.UDP)]
    shared = sandbox_config(pod(own, hostNetwork=True), 0, dns=DnsConfig(), logs=Path("/l"), cgroup_parent="/p")
    assert (shared.hostname, list(shared.port_mappings)) == ("", [])


def test_labels_of_the_user_do_not_pass_for_the_kubelets() -> None:
    own = pod()
    own["metadata"]["labels"] = {"io.kubernetes.pod.uid": "forged", "app": "x"}
    config = sandbox_config(own, 0, dns=DnsConfig(), logs=Path("/l"), cgroup_parent="/p")
    assert (config.labels["io.kubernetes.pod.uid"], config.labels["app"]) == (UID, "x")


def test_dns_of_the_pod_over_the_nodes() -> None:
    node = DnsConfig(("10.0.0.1",), ("a.test",), ("ndots:1",))
    assert dns_config(pod(), node) == node
    own = {"nameservers": ["1.1.1.1"], "searches": ["b.test"], "options": [{"name": "ndots", "value": "5"}, {"name": "edns0"}]}
    assert dns_config(pod(dnsConfig=own), node) == DnsConfig(("10.0.0.1", "1.1.1.1"), ("a.test", "b.test"), ("ndots:5", "edns0"))
    assert dns_config(pod(dnsPolicy="None", dnsConfig=own), node) == DnsConfig(("1.1.1.1",), ("b.test",), ("ndots:5", "edns0"))
