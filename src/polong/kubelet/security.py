"""Security contexts of Pod and container as CRI wants them. Pure.

Source: kubelet kuberuntime/security_context.go, security_context_others.go; pkg/securitycontext.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from polong.criapi.wire import v1
from polong.kit.errors import Invalid
from polong.kubelet.identity import label
from polong.kubelet.namespaces import Namespaces
from polong.objects import pod as pods

Json = dict[str, Any]

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class ImageUser:
    """The user that the image runs as: a number, or a name, or neither (which is root)."""

    uid: int | None = None
    name: str = ""


def effective(pod: Json, container: Json, field: str) -> Any:  # noqa: ANN401 - any JSON value
    """The container's own value, else the Pod's."""
    own = (container.get("securityContext") or {}).get(field)
    return own if own is not None else (pods.spec(pod).get("securityContext") or {}).get(field)


def namespace_option(namespaces: Namespaces) -> v1.NamespaceOption:
    return v1.NamespaceOption(
        network=int(namespaces.network),  # type: ignore[arg-type]
        pid=int(namespaces.pid),  # type: ignore[arg-type]
        ipc=int(namespaces.ipc),  # type: ignore[arg-type]
        target_id=namespaces.target,
    )


def verify_non_root(pod: Json, container: Json, image_user: ImageUser) -> None:
    """Invalid (CreateContainerConfigError) with Kubernetes' texts where runAsNonRoot does not hold."""
    if not effective(pod, container, "runAsNonRoot"):
        return
    whose = f'(pod: "{label(pod)}", container: {container["name"]})'
    wanted = effective(pod, container, "runAsUser")
    reason = "CreateContainerConfigError"
    if wanted is not None:
        if wanted == 0:
            raise Invalid(f"container's runAsUser breaks non-root policy {whose}", reason=reason)
        return
    if image_user.uid is None and image_user.name:
        raise Invalid(
            f"container has runAsNonRoot and image has non-numeric user ({image_user.name}), cannot verify user is non-root {whose}",
            reason=reason,
        )
    if not image_user.uid:
        raise Invalid(f"container has runAsNonRoot and image will run as root {whose}", reason=reason)


def seccomp(pod: Json, container: Json, profiles: Path) -> v1.SecurityProfile:
    """RuntimeDefault unless the Pod says otherwise; privileged containers are unconfined."""
    profile = effective(pod, container, "seccompProfile") or {"type": "RuntimeDefault"}
    kind = v1.SecurityProfile.ProfileType
    if (container.get("securityContext") or {}).get("privileged") or profile["type"] == "Unconfined":
        return v1.SecurityProfile(profile_type=kind.Unconfined)
    if profile["type"] == "Localhost":
        relative = PurePosixPath(profile.get("localhostProfile") or "")
        if not relative.parts or relative.is_absolute() or ".." in relative.parts:
            raise Invalid(f"seccomp profile {str(relative)!r} is not a path below {profiles}", reason="CreateContainerConfigError")
        return v1.SecurityProfile(profile_type=kind.Localhost, localhost_ref=str(profiles / relative))
    return v1.SecurityProfile(profile_type=kind.RuntimeDefault)


def apparmor(pod: Json, container: Json) -> v1.SecurityProfile | None:
    """None where the Pod says nothing: then the runtime's default holds, where the node has AppArmor."""
    profile = effective(pod, container, "appArmorProfile")
    if profile is None:
        return None
    kind = v1.SecurityProfile.ProfileType.Value(profile["type"])
    return v1.SecurityProfile(profile_type=kind, localhost_ref=profile.get("localhostProfile") or "")


def supplemental_groups(pod: Json) -> list[int]:
    """supplementalGroups and fsGroup."""
    context = pods.spec(pod).get("securityContext") or {}
    groups = list(context.get("supplementalGroups") or ())
    if context.get("fsGroup") is not None:
        groups.append(context["fsGroup"])
    return groups


def _policy(pod: Json) -> v1.SupplementalGroupsPolicy.ValueType:
    strict = (pods.spec(pod).get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict"
    return v1.SupplementalGroupsPolicy.Strict if strict else v1.SupplementalGroupsPolicy.Merge


def _plain(names: Iterable[str] | None) -> list[str]:
    return [each.removeprefix("CAP_") for each in names or ()]


IDS = 65_536
"""How many ids a Pod with users of its own has."""


@dataclass(frozen=True)
class UserRange:
    """Ids of a Pod with users of its own: its root is `first` on the host."""

    first: int

    def mapping(self) -> list[v1.IDMapping]:
        return [v1.IDMapping(host_id=self.first, container_id=0, length=IDS)]

    def enter(self, options: v1.NamespaceOption) -> None:
        """Ask for the user namespace."""
        options.userns_options.CopyFrom(v1.UserNamespace(mode=v1.NamespaceMode.POD, uids=self.mapping(), gids=self.mapping()))


def container_security(pod: Json, container: Json, namespaces: Namespaces, profiles: Path) -> v1.LinuxContainerSecurityContext:
    own = container.get("securityContext") or {}
    privileged = bool(own.get("privileged"))
    capabilities = own.get("capabilities") or {}
    context = v1.LinuxContainerSecurityContext(
        privileged=privileged,
        namespace_options=namespace_option(namespaces),
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        supplemental_groups=supplemental_groups(pod),
        supplemental_groups_policy=_policy(pod),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        seccomp=seccomp(pod, container, profiles),
        apparmor=apparmor(pod, container),
        capabilities=v1.Capability(add_capabilities=_plain(capabilities.get("add")), drop_capabilities=_plain(capabilities.get("drop"))),
    )
    if (user := effective(pod, container, "runAsUser")) is not None:
        context.run_as_user.value = user
    if (group := effective(pod, container, "runAsGroup")) is not None:
        context.run_as_group.value = group
    if not privileged and own.get("procMount") != "Unmasked":
        context.masked_paths.extend(MASKED_PATHS)
        context.readonly_paths.extend(READONLY_PATHS)
    return context


def has_privileged(pod: Json) -> bool:
    """Of any type, ephemeral ones too."""
    return any((each.get("securityContext") or {}).get("privileged") for _, _, each in pods.all_containers(pod))


def sandbox_security(pod: Json, namespaces: Namespaces) -> v1.LinuxSandboxSecurityContext:
    context = v1.LinuxSandboxSecurityContext(
        namespace_options=namespace_option(namespaces),
        privileged=has_privileged(pod),
        supplemental_groups=supplemental_groups(pod),
        supplemental_groups_policy=_policy(pod),
        seccomp=v1.SecurityProfile(profile_type=v1.SecurityProfile.ProfileType.RuntimeDefault),
    )
    own = pods.spec(pod).get("securityContext") or {}
    if own.get("runAsUser") is not None:
        context.run_as_user.value = own["runAsUser"]
    if own.get("runAsGroup") is not None:
        context.run_as_group.value = own["runAsGroup"]
    return context
