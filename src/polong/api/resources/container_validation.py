"""What a container of a Pod must satisfy, in Kubernetes' words. Source: pkg/apis/core/validation/validation.go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polong.api.resources import fields
from polong.kit.errors import Cause
from polong.objects import names, quantity

Json = dict[str, Any]

_PULL = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")
_FIELD_REFS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_RESOURCE_REFS = tuple(f"{part}.{name}" for part in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory"))
_MAX_ID = 2**31 - 1


def validate_all(spec: Json, volumes: set[str]) -> Iterator[Cause]:
    """All containers of all kinds; `volumes` are the names that mounts may use."""
    if not spec.get("containers"):
        yield fields.required("spec.containers")
    seen: set[str] = set()
    host_ports: set[str] = set()
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            path, name = f"spec.{field}[{index}]", container.get("name", "")
            yield from _names(container, path)
            if name and name in seen:
                yield fields.duplicate(f"{path}.name", name)
            seen.add(name)
            yield from _container(container, path, volumes)
            yield from _ports(container.get("ports") or [], f"{path}.ports", host_ports, host_network=spec.get("hostNetwork") is True)


def _names(container: Json, path: str) -> Iterator[Cause]:
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        yield fields.required(f"{path}.name")
    else:
        for error in names.dns_label_errors(name):
            yield fields.invalid(f"{path}.name", name, error)
    if not image:
        yield fields.required(f"{path}.image")
    elif image != image.strip():
        yield fields.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")


def _container(container: Json, path: str, volumes: set[str]) -> Iterator[Cause]:
    if container["imagePullPolicy"] not in _PULL:
        yield fields.unsupported(f"{path}.imagePullPolicy", container["imagePullPolicy"], _PULL)
    if container["terminationMessagePolicy"] not in _MESSAGE_POLICIES:
        yield fields.unsupported(f"{path}.terminationMessagePolicy", container["terminationMessagePolicy"], _MESSAGE_POLICIES)
    for index, entry in enumerate(container.get("env") or ()):
        yield from _env(entry, f"{path}.env[{index}]")
    yield from _mounts(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    yield from _resources(container.get("resources") or {}, f"{path}.resources")
    yield from _security(container.get("securityContext") or {}, f"{path}.securityContext")


def _env(entry: Json, path: str) -> Iterator[Cause]:
    name, source = entry.get("name", ""), entry.get("valueFrom")
    if not name:
        yield fields.required(f"{path}.name")
    else:
        for error in names.env_name_errors(name):
            yield fields.invalid(f"{path}.name", name, error)
    if source is None:
        return
    if not source:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield fields.invalid(f"{path}.valueFrom", "", text)
    elif entry.get("value"):
        yield fields.invalid(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")
    elif len(source) > 1:
        yield fields.invalid(f"{path}.valueFrom", "", "may not have more than one field specified at a time")
    if (reference := source.get("fieldRef")) is not None:
        yield from _field_ref(reference, f"{path}.valueFrom.fieldRef")
    if (reference := source.get("resourceFieldRef")) is not None:
        resource = reference.get("resource", "")
        if not resource:
            yield fields.required(f"{path}.valueFrom.resourceFieldRef.resource")
        elif resource not in _RESOURCE_REFS:
            yield fields.unsupported(f"{path}.valueFrom.resourceFieldRef.resource", resource, _RESOURCE_REFS)


def _field_ref(reference: Json, path: str) -> Iterator[Cause]:
    wanted = reference.get("fieldPath", "")
    if not wanted:
        yield fields.required(f"{path}.fieldPath")
        return
    base, bracket, _ = wanted.partition("[")
    allowed = (*(ref for ref in _FIELD_REFS if ref not in ("metadata.annotations", "metadata.labels")),)
    if bracket and base in ("metadata.annotations", "metadata.labels") and wanted.endswith("']"):
        return
    if wanted not in allowed:
        yield fields.unsupported(f"{path}.fieldPath", wanted, allowed)


def _mounts(mounts: list[Json], path: str, volumes: set[str]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        where, name, target = fields.at(path, index), mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield fields.required(f"{where}.name")
        elif name not in volumes:
            yield fields.not_found(f"{where}.name", name)
        if not target:
            yield fields.required(f"{where}.mountPath")
        elif target in seen:
            yield fields.invalid(f"{where}.mountPath", target, "must be unique")
        seen.add(target)


def _ports(ports: list[Json], path: str, taken: set[str], *, host_network: bool) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where, name = fields.at(path, index), port.get("name", "")
        if name:
            for error in names.port_name_errors(name):
                yield fields.invalid(f"{where}.name", name, error)
            if name in seen:
                yield fields.duplicate(f"{where}.name", name)
            seen.add(name)
        inner, outer = port.get("containerPort", 0), port.get("hostPort", 0)
        if not inner:
            yield fields.required(f"{where}.containerPort")
        elif not 0 < inner < 65536:
            yield fields.invalid(f"{where}.containerPort", inner, "must be between 1 and 65535, inclusive")
        if outer and not 0 < outer < 65536:
            yield fields.invalid(f"{where}.hostPort", outer, "must be between 1 and 65535, inclusive")
        elif outer and host_network and outer != inner:
            yield fields.invalid(f"{where}.hostPort", outer, "must match `containerPort` when `hostNetwork` is true")
        if port["protocol"] not in _PROTOCOLS:
            yield fields.unsupported(f"{where}.protocol", port["protocol"], _PROTOCOLS)
        if address := port.get("hostIP"):
            for error in names.ip_errors(address):
                yield fields.invalid(f"{where}.hostIP", address, error)
        if outer:
            claim = f"{port['protocol']}/{port.get('hostIP', '')}/{outer}"
            if claim in taken:
                yield fields.duplicate(f"{where}.hostPort", claim)
            taken.add(claim)


def _resources(resources: Json, path: str) -> Iterator[Cause]:
    amounts: dict[tuple[str, str], Any] = {}
    for part in ("limits", "requests"):
        for name, text in (resources.get(part) or {}).items():
            where = fields.key(f"{path}.{part}", name)
            try:
                amount = quantity.parse(text)
            except ValueError as error:
                yield fields.invalid(where, text, str(error))
                continue
            if amount < 0:
                yield fields.invalid(where, text, "must be greater than or equal to 0")
            amounts[part, name] = amount
    for (part, name), amount in amounts.items():
        limit = amounts.get(("limits", name))
        if part == "requests" and limit is not None and amount > limit:
            text = f"must be less than or equal to {name} limit of {resources['limits'][name]}"
            yield fields.invalid(f"{path}.requests", resources["requests"][name], text)


def identifier(value: int, path: str) -> Iterator[Cause]:
    """A user or group number."""
    if not 0 <= value <= _MAX_ID:
        yield fields.invalid(path, value, f"must be between 0 and {_MAX_ID}, inclusive")


def identity(context: Json, path: str) -> Iterator[Cause]:
    """What Pod and container security contexts share."""
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        if context.get(field) is not None:
            yield from identifier(context[field], f"{path}.{field}")
    profile = context.get("seccompProfile")
    if profile is not None:
        kind = profile.get("type", "")
        if not kind:
            yield fields.required(f"{path}.seccompProfile.type", "type is required when seccompProfile is set")
        elif kind not in _SECCOMP:
            yield fields.unsupported(f"{path}.seccompProfile.type", kind, _SECCOMP)
        elif kind == "Localhost" and not profile.get("localhostProfile"):
            text = "must be set when seccomp type is Localhost"
            yield fields.required(f"{path}.seccompProfile.localhostProfile", text)
        elif kind != "Localhost" and profile.get("localhostProfile"):
            text = "can only be set when seccomp type is Localhost"
            yield fields.invalid(f"{path}.seccompProfile.localhostProfile", profile["localhostProfile"], text)


def _security(context: Json, path: str) -> Iterator[Cause]:
    yield from identity(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            yield fields.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        added = (context.get("capabilities") or {}).get("add") or ()
        if "CAP_SYS_ADMIN" in added:
            yield fields.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
    if context.get("procMount", "Default") not in ("Default", "Unmasked"):
        yield fields.unsupported(f"{path}.procMount", context["procMount"], ("Default", "Unmasked"))
