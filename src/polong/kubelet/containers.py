"""Pod and container to CRI's ContainerConfig and PodSandboxConfig. Pure: everything from outside comes in by `Surroundings`.

Source: kubelet generateContainerConfig, generatePodSandboxConfig; label and annotation names are the kubelet's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polong.criapi.wire import v1
from polong.kit import signals
from polong.kit.errors import Invalid
from polong.kubelet import security
from polong.kubelet.config import CLUSTER_DOMAIN, DnsConfig
from polong.kubelet.environment import expand
from polong.kubelet.identity import container_hash
from polong.kubelet.namespaces import for_container, for_pod
from polong.kubelet.resources import PERIOD, Machine, applied, oom_score
from polong.kubelet.security import ImageUser, UserRange
from polong.objects import pod as pods
from polong.objects import sysctls

Json = dict[str, Any]

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE = "io.kubernetes.pod.terminationGracePeriod"
DEFAULT_MESSAGE_PATH = "/dev/termination-log"
_PROTOCOLS = {"TCP": v1.Protocol.TCP, "UDP": v1.Protocol.UDP, "SCTP": v1.Protocol.SCTP}


@dataclass(frozen=True)
class Mounted:
    """A host path that stands in the container, or a part of an image where that is named; `propagation` is the Pod's word (None,
    HostToContainer, Bidirectional)."""

    host_path: Path | None
    container_path: str
    read_only: bool = False
    propagation: str = "None"
    recursive_read_only: bool = False
    image: str = ""
    image_part: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What a container's configuration needs beside the Pod."""

    machine: Machine
    environment: Mapping[str, str]
    seccomp_profiles: Path
    mounts: Sequence[Mounted] = ()
    image_ref: str = ""
    image_user: ImageUser = field(default_factory=ImageUser)
    target_id: str = ""
    users: UserRange | None = None


def labels(pod: Json) -> dict[str, str]:
    return {POD_NAME: pods.name(pod), POD_NAMESPACE: pods.namespace(pod), POD_UID: pods.uid(pod)}


def log_directory(pod: Json) -> str:
    """Below the log root."""
    return f"{pods.namespace(pod)}_{pods.name(pod)}_{pods.uid(pod)}"


def log_path(name: str, attempt: int) -> str:
    """Below the Pod's log directory."""
    return f"{name}/{attempt}.log"


def message_path(container: Json) -> str:
    return str(container.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH)


def _propagation(word: str) -> v1.MountPropagation.ValueType:
    if word == "HostToContainer":
        return v1.MountPropagation.PROPAGATION_HOST_TO_CONTAINER
    if word == "Bidirectional":
        return v1.MountPropagation.PROPAGATION_BIDIRECTIONAL
    return v1.MountPropagation.PROPAGATION_PRIVATE


def _mount(mounted: Mounted) -> v1.Mount:
    mount = v1.Mount(
        container_path=mounted.container_path,
        host_path=str(mounted.host_path or ""),
        readonly=mounted.read_only,
        propagation=_propagation(mounted.propagation),
        recursive_read_only=mounted.recursive_read_only,
    )
    if mounted.image:
        mount.image.image = mounted.image
        mount.image_sub_path = mounted.image_part
    return mount


def container_config(pod: Json, container: Json, attempt: int, around: Surroundings) -> v1.ContainerConfig:
    """Invalid with reason CreateContainerConfigError where the spec cannot be carried out."""
    security.verify_non_root(pod, container, around.image_user)
    name = container["name"]
    values = around.environment
    config = v1.ContainerConfig(
        metadata=v1.ContainerMetadata(name=name, attempt=attempt),
        image=v1.ImageSpec(image=around.image_ref or container["image"], user_specified_image=container["image"]),
        command=[expand(each, values) for each in container.get("command") or ()],
        args=[expand(each, values) for each in container.get("args") or ()],
        working_dir=container.get("workingDir") or "",
        envs=[v1.KeyValue(key=key, value=value) for key, value in values.items()],
        mounts=[_mount(each) for each in around.mounts],
        labels={**labels(pod), CONTAINER_NAME: name},
        annotations=_annotations(pod, container, attempt),
        log_path=log_path(name, attempt),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
    )
    if wanted := (container.get("lifecycle") or {}).get("stopSignal"):
        config.stop_signal = v1.Signal.Value(signals.cri_name(wanted))
    config.linux.resources.CopyFrom(container_resources(pod, container, around.machine))
    namespaces = for_container(pod, around.target_id)
    config.linux.security_context.CopyFrom(security.container_security(pod, container, namespaces, around.seccomp_profiles))
    if around.users is not None:
        around.users.enter(config.linux.security_context.namespace_options)
        for mount in config.mounts:
            if mount.host_path:
                mount.uidMappings.extend(around.users.mapping())
                mount.gidMappings.extend(around.users.mapping())
    return config


def container_resources(pod: Json, container: Json, machine: Machine) -> v1.LinuxContainerResources:
    found = resized(pod, container)
    found.oom_score_adj = oom_score(pod, container, machine)
    return found


def resized(pod: Json, container: Json) -> v1.LinuxContainerResources:
    """Of them, what can change while it runs."""
    wanted = applied(pod, container)
    return v1.LinuxContainerResources(
        cpu_period=PERIOD, cpu_shares=wanted.shares, cpu_quota=wanted.quota, memory_limit_in_bytes=wanted.memory
    )


def _annotations(pod: Json, container: Json, attempt: int) -> dict[str, str]:
    annotations = {
        HASH: container_hash(container),
        RESTART_COUNT: str(attempt),
        MESSAGE_PATH: message_path(container),
        MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
        GRACE: str(pods.spec(pod).get("terminationGracePeriodSeconds", pods.DEFAULT_GRACE_SECONDS)),
    }
    if ports := container.get("ports"):
        annotations["io.kubernetes.container.ports"] = json.dumps(ports, separators=(",", ":"))
    return annotations


MOST_CHARACTERS = 64
"""Of a host name: the kernel's limit."""


def domain(pod: Json) -> str:
    """Under which the Pod finds its own full name; empty where it has no subdomain."""
    subdomain = pods.spec(pod).get("subdomain") or ""
    return f"{subdomain}.{pods.namespace(pod)}.svc.{CLUSTER_DOMAIN}" if subdomain else ""


def kernel_hostname(pod: Json) -> str:
    """What `hostname` prints: the short name, or with setHostnameAsFQDN the whole. Invalid where that is too long. Source: kubelet
    GeneratePodHostNameAndDomain, truncatePodHostnameIfNeeded."""
    short, rest = hostname(pod), domain(pod)
    if not (pods.spec(pod).get("setHostnameAsFQDN") and rest) or pods.spec(pod).get("hostnameOverride"):
        return short
    full = f"{short}.{rest}"
    if len(full) > MOST_CHARACTERS:
        limit = f"({MOST_CHARACTERS} characters is the max, {len(full)} characters requested)"
        raise Invalid(f"failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long {limit}")
    return full


def hostname(pod: Json) -> str:
    """spec.hostnameOverride, else spec.hostname, else the Pod's name, of which at most 63 characters are taken."""
    if override := pods.spec(pod).get("hostnameOverride"):
        return str(override)
    return str(pods.spec(pod).get("hostname") or pods.name(pod))[:63].rstrip("-.")


def sandbox_config(
    pod: Json, attempt: int, *, dns: DnsConfig, logs: Path, cgroup_parent: str, users: UserRange | None = None
) -> v1.PodSandboxConfig:
    config = v1.PodSandboxConfig(
        metadata=v1.PodSandboxMetadata(name=pods.name(pod), uid=pods.uid(pod), namespace=pods.namespace(pod), attempt=attempt),
        hostname="" if pods.host_network(pod) else kernel_hostname(pod),
        log_directory=str(logs / log_directory(pod)),
        dns_config=v1.DNSConfig(servers=dns.servers, searches=dns.searches, options=dns.options),
        port_mappings=[_port(each) for container in pods.lasting(pod) for each in container.get("ports") or () if each.get("hostPort")],
        labels={**(pod["metadata"].get("labels") or {}), **labels(pod)},
        annotations=pod["metadata"].get("annotations") or {},
    )
    if pods.host_network(pod):
        del config.port_mappings[:]
    config.linux.cgroup_parent = cgroup_parent
    config.linux.security_context.CopyFrom(security.sandbox_security(pod, for_pod(pod)))
    if users is not None:
        users.enter(config.linux.security_context.namespace_options)
    for each in (pods.spec(pod).get("securityContext") or {}).get("sysctls") or ():
        config.linux.sysctls[sysctls.dotted(each["name"])] = each["value"]
    return config


def _port(port: Json) -> v1.PortMapping:
    return v1.PortMapping(
        protocol=_PROTOCOLS[port.get("protocol") or "TCP"],
        container_port=port["containerPort"],
        host_port=port["hostPort"],
        host_ip=port.get("hostIP") or "",
    )


def dns_config(pod: Json, node: DnsConfig) -> DnsConfig:
    """spec.dnsPolicy and spec.dnsConfig over what the node gives; at most 3 servers and 32 search domains, as resolvers take."""
    spec = pods.spec(pod)
    base = DnsConfig() if spec.get("dnsPolicy") == "None" else node
    own = spec.get("dnsConfig") or {}
    servers = tuple(dict.fromkeys((*base.servers, *(own.get("nameservers") or ()))))
    searches = tuple(dict.fromkeys((*base.searches, *(own.get("searches") or ()))))
    options = {each.partition(":")[0]: each for each in base.options}
    for option in own.get("options") or ():
        value = option.get("value")
        options[option["name"]] = option["name"] if value is None else f"{option['name']}:{value}"
    return DnsConfig(servers[:3], searches[:32], tuple(options.values()))
