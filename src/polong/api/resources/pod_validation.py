"""What a Pod must satisfy, in Kubernetes' words and field paths. Source: pkg/apis/core/validation/validation.go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from polong.api.resources import container_validation as containers
from polong.api.resources import fields, pod_ephemeral
from polong.kit.errors import Cause
from polong.objects import names, quantity

Json = dict[str, Any]

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_SYSCTL = re.compile(r"([a-z0-9][-_a-z0-9]*[./])*[a-z0-9][-_a-z0-9]*")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate(spec: Json, *, creating: bool) -> Iterator[Cause]:
    """Causes of refusal of a defaulted `spec`."""
    volumes = spec.get("volumes") or []
    yield from _volumes(volumes)
    yield from containers.validate_all(spec, {volume.get("name") for volume in volumes})
    if creating and spec.get("ephemeralContainers"):
        yield fields.forbidden("spec.ephemeralContainers", "cannot be set on create")
    yield from pod_ephemeral.validate(spec)
    if spec["restartPolicy"] not in _RESTART:
        yield fields.unsupported("spec.restartPolicy", spec["restartPolicy"], _RESTART)
    yield from _dns(spec)
    yield from _security(spec)
    for field in ("hostname", "subdomain"):
        for error in names.dns_label_errors(spec[field]) if spec.get(field) else ():
            yield fields.invalid(f"spec.{field}", spec[field], error)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from _host_alias(alias, fields.at("spec.hostAliases", index))
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration(toleration, fields.at("spec.tolerations", index))


def _dns(spec: Json) -> Iterator[Cause]:
    policy, config = spec["dnsPolicy"], spec.get("dnsConfig") or {}
    if policy not in _DNS:
        yield fields.unsupported("spec.dnsPolicy", policy, _DNS)
    if policy == "None":
        if not config:
            yield fields.required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            yield fields.required("spec.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
    for index, server in enumerate(config.get("nameservers") or ()):
        for error in names.ip_errors(server):
            yield fields.invalid(fields.at("spec.dnsConfig.nameservers", index), server, error)
    for index, domain in enumerate(config.get("searches") or ()):
        for error in names.dns_subdomain_errors(domain.rstrip(".")) if domain != "." else ():
            yield fields.invalid(fields.at("spec.dnsConfig.searches", index), domain, error)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield fields.required(fields.at("spec.dnsConfig.options", index), "must not be empty")


def _security(spec: Json) -> Iterator[Cause]:
    windows = (spec.get("os") or {}).get("name") == "windows"
    if windows:
        for field in ("hostPID", "hostIPC", "hostNetwork"):
            if spec.get(field):
                yield fields.forbidden(f"spec.{field}", "cannot be set for a windows pod")
        if "shareProcessNamespace" in spec:
            yield fields.forbidden("spec.shareProcessNamespace", "cannot be set for a windows pod")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        # Kubernetes keeps both in its internal security context, hence the path.
        yield fields.invalid("spec.securityContext.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled")
    context = spec.get("securityContext") or {}
    yield from containers.identity(context, "spec.securityContext")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from containers.identifier(group, fields.at("spec.securityContext.supplementalGroups", index))
    seen: set[str] = set()
    for index, sysctl in enumerate(context.get("sysctls") or ()):
        path, name = f"spec.securityContext.sysctls[{index}].name", sysctl.get("name", "")
        if not name:
            yield fields.required(path)
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            yield fields.invalid(path, name, f"must have at most 253 characters and match regex ^{_SYSCTL.pattern}$")
        elif name in seen:
            yield fields.duplicate(path, name)
        seen.add(name)


def _host_alias(alias: Json, path: str) -> Iterator[Cause]:
    for error in names.ip_errors(alias.get("ip", "")):
        yield fields.invalid(f"{path}.ip", alias.get("ip", ""), error)
    for hostname in alias.get("hostnames") or ():
        for error in names.dns_subdomain_errors(hostname):
            yield fields.invalid(f"{path}.hostnames", hostname, error)


def _toleration(toleration: Json, path: str) -> Iterator[Cause]:
    operator, key = toleration.get("operator") or "Equal", toleration.get("key") or ""
    if key:
        for error in names.qualified_name_errors(key):
            yield fields.invalid(f"{path}.key", key, error)
    elif operator != "Exists":
        yield fields.invalid(
            f"{path}.operator", operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        )
    if operator not in ("Equal", "Exists"):
        yield fields.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    if operator == "Exists" and toleration.get("value"):
        yield fields.invalid(f"{path}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
    effect = toleration.get("effect") or ""
    if effect and effect not in _EFFECTS:
        yield fields.unsupported(f"{path}.effect", effect, _EFFECTS)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield fields.invalid(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")


def _volumes(volumes: list[Json]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        path, name = fields.at("spec.volumes", index), volume.get("name", "")
        if not name:
            yield fields.required(f"{path}.name")
        else:
            for error in names.dns_label_errors(name):
                yield fields.invalid(f"{path}.name", name, error)
            if name in seen:
                yield fields.duplicate(f"{path}.name", name)
        seen.add(name)
        sources = [source for source in volume if source != "name"]
        for extra in sources[1:]:
            yield fields.forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
        yield from _volume_source(volume, path)


def _volume_source(volume: Json, path: str) -> Iterator[Cause]:
    host_path, empty_dir = volume.get("hostPath"), volume.get("emptyDir")
    if host_path is not None:
        if not host_path.get("path"):
            yield fields.required(f"{path}.hostPath.path")
        elif ".." in host_path["path"].split("/"):
            yield fields.invalid(f"{path}.hostPath.path", host_path["path"], "must not contain '..'")
        if host_path.get("type", "") not in _HOST_PATH_TYPES:
            yield fields.unsupported(f"{path}.hostPath.type", host_path["type"], _HOST_PATH_TYPES)
    if empty_dir is not None and (limit := empty_dir.get("sizeLimit")) is not None:
        try:
            negative = quantity.parse(limit) < 0
        except ValueError as error:
            yield fields.invalid(f"{path}.emptyDir.sizeLimit", limit, str(error))
        else:
            if negative:
                yield fields.forbidden(f"{path}.emptyDir.sizeLimit", "SizeLimit field must be a valid resource quantity")


def validate_update(new: Json, old: Json) -> Iterator[Cause]:
    """Only images, a shorter deadline, more tolerations and a repaired grace may change."""
    for index, (after, before) in enumerate(zip(new.get("containers") or (), old.get("containers") or (), strict=False)):
        if not after.get("image"):
            yield fields.required(f"spec.containers[{index}].image")
        del before
    if len(new.get("containers") or ()) != len(old.get("containers") or ()):
        yield fields.forbidden("spec.containers", "pod updates may not add or remove containers")
        return
    kept = old.get("tolerations") or []
    if any(toleration not in (new.get("tolerations") or []) for toleration in kept):
        yield fields.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    if changed := sorted(name for name in {*new, *old} if _fixed(new).get(name) != _fixed(old).get(name)):
        yield fields.forbidden("spec", f"{_UPDATABLE} (changed here: {', '.join('spec.' + name for name in changed)})")


def _fixed(spec: Json) -> Json:
    """`spec` without what an update may change."""
    fixed = {name: value for name, value in spec.items() if name not in ("tolerations", "activeDeadlineSeconds")}
    for field in ("containers", "initContainers"):
        if field in spec:
            fixed[field] = [{name: value for name, value in container.items() if name != "image"} for container in spec[field]]
    return fixed
