"""What a container of a Pod must satisfy, in Kubernetes' words. Source: pkg/apis/core/validation/validation.go (validateContainers,
validateInitContainers, ValidateVolumeMounts, ValidateContainerResourceRequirements)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from polong.api.resources import fields, pod_environment, pod_probes, pod_references, pod_security
from polong.kit.errors import Cause
from polong.objects import names, podresources, quantity

Json = dict[str, Any]

_PULL = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "IfPossible", "Enabled")
_RESTARTS = ("Always", "Never", "OnFailure")
_RULES_LIMIT, _CODES_LIMIT = 20, 255
_RESIZABLE = ("cpu", "memory")
_RESIZE_RESTARTS = ("NotRequired", "RestartContainer")
_PORT_TEXT = "must be between 1 and 65535, inclusive"


def validate_all(spec: Json, volumes: set[str]) -> Iterator[Cause]:
    """All containers of all kinds; `volumes` are the names that mounts may use."""
    if not spec.get("containers"):
        yield fields.required("spec.containers")
    seen: set[str] = set()
    taken: set[str] = set()
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            path, name = f"spec.{field}[{index}]", container.get("name", "")
            yield from _names(container, path)
            if name and name in seen:
                yield fields.duplicate(f"{path}.name", name)
            seen.add(name)
            yield from _container(container, spec, path, volumes)
            # Init containers run one after the other: each has the ports for itself.
            claims = taken if field == "containers" else set()
            yield from _ports(container.get("ports") or [], f"{path}.ports", claims, host_network=spec.get("hostNetwork") is True)
            if field == "initContainers":
                yield from _init(container, path)


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


def _container(container: Json, spec: Json, path: str, volumes: set[str]) -> Iterator[Cause]:
    if container["imagePullPolicy"] not in _PULL:
        yield fields.unsupported(f"{path}.imagePullPolicy", container["imagePullPolicy"], _PULL)
    if container["terminationMessagePolicy"] not in _MESSAGE_POLICIES:
        yield fields.unsupported(f"{path}.terminationMessagePolicy", container["terminationMessagePolicy"], _MESSAGE_POLICIES)
    yield from pod_environment.validate(container, path, {each.get("name", ""): each for each in spec.get("volumes") or ()})
    yield from _mounts(container, f"{path}.volumeMounts", volumes)
    yield from resources(container.get("resources") or {}, f"{path}.resources")
    yield from _resize_policy(container.get("resizePolicy") or [], f"{path}.resizePolicy", spec.get("restartPolicy", ""))
    yield from _restart_policy(container, path)
    context = container.get("securityContext") or {}
    yield from pod_security.container(context, f"{path}.securityContext", host_users=spec.get("hostUsers") is not False)
    yield from pod_probes.validate(container, path, spec.get("terminationGracePeriodSeconds"))
    yield from pod_probes.stop_signal(container, path, (spec.get("os") or {}).get("name", ""))


def _init(container: Json, path: str) -> Iterator[Cause]:
    """What makes sense for a side-car alone is refused for an init container that ends."""
    if container.get("restartPolicy") == "Always":
        return
    for field in ("lifecycle", *pod_probes.PROBES):
        if container.get(field) is not None:
            yield fields.forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")
    if container.get("resizePolicy"):
        yield fields.invalid(f"{path}.resizePolicy", container["resizePolicy"], "must not be set for init containers")


def _restart_policy(container: Json, path: str) -> Iterator[Cause]:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is not None and policy not in _RESTARTS:
        yield fields.unsupported(f"{path}.restartPolicy", policy, _RESTARTS)
    if rules and policy is None:
        yield fields.required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    if len(rules) > _RULES_LIMIT:
        yield fields.too_many(f"{path}.restartPolicyRules", len(rules), _RULES_LIMIT)
    for index, rule in enumerate(rules):
        where = f"{path}.restartPolicyRules[{index}]"
        if rule.get("action") != "Restart":
            yield fields.unsupported(f"{where}.action", rule.get("action", ""), ("Restart",))
        codes = rule.get("exitCodes")
        if codes is None:
            yield fields.required(f"{where}.exitCodes", "must be specified")
            continue
        if codes.get("operator") not in ("In", "NotIn"):
            yield fields.unsupported(f"{where}.exitCodes.operator", codes.get("operator", ""), ("In", "NotIn"))
        if len(codes.get("values") or ()) > _CODES_LIMIT:
            yield fields.too_many(f"{where}.exitCodes.values", len(codes["values"]), _CODES_LIMIT)


def _resize_policy(policies: list[Json], path: str, pod_restarts: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if resource in seen:
            yield fields.duplicate(fields.at(path, index), resource)
        seen.add(resource)
        if resource not in _RESIZABLE:
            yield fields.unsupported(path, resource, _RESIZABLE)
        if restart not in _RESIZE_RESTARTS:
            yield fields.unsupported(path, restart, _RESIZE_RESTARTS)
        elif pod_restarts == "Never" and restart != "NotRequired":
            yield fields.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _mounts(container: Json, path: str, volumes: set[str]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where, name, target = fields.at(path, index), mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield fields.required(f"{where}.name")
        if name not in volumes:
            yield fields.not_found(f"{where}.name", name)
        if not target:
            yield fields.required(f"{where}.mountPath")
        if target in seen:
            yield fields.invalid(f"{where}.mountPath", target, "must be unique")
        seen.add(target)
        yield from _sub_path(mount, path, where)
        yield from _propagation(mount, container, path, where)


def _sub_path(mount: Json, path: str, where: str) -> Iterator[Cause]:
    """Kubernetes leaves the index out of these paths."""
    if mount.get("subPath"):
        yield from pod_references.descending(mount["subPath"], f"{path}.subPath")
    if mount.get("subPathExpr"):
        if mount.get("subPath"):
            yield fields.invalid(f"{where}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")
        yield from pod_references.descending(mount["subPathExpr"], f"{path}.subPathExpr")


def _propagation(mount: Json, container: Json, path: str, where: str) -> Iterator[Cause]:
    propagation, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None and propagation not in _PROPAGATIONS:
        yield fields.unsupported(f"{path}.mountPropagation", propagation, _PROPAGATIONS)
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        text = "Bidirectional mount propagation is available only to privileged containers"
        yield fields.forbidden(f"{path}.mountPropagation", text)
    if recursive is None or recursive == "Disabled":
        return
    if recursive not in _RECURSIVE:
        yield fields.unsupported(f"{where}.recursiveReadOnly", recursive, _RECURSIVE)
        return
    if not mount.get("readOnly"):
        yield fields.forbidden(f"{where}.recursiveReadOnly", "may only be specified when readOnly is true")
    if propagation not in (None, "None"):
        yield fields.forbidden(f"{where}.recursiveReadOnly", "may only be specified when mountPropagation is None or not specified")


def _ports(ports: list[Json], path: str, taken: set[str], *, host_network: bool) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where, name = fields.at(path, index), port.get("name", "")
        if name:
            errors = names.port_name_errors(name)
            for error in errors:
                yield fields.invalid(f"{where}.name", name, error)
            if not errors and name in seen:
                yield fields.duplicate(f"{where}.name", name)
            seen.add(name)
        inner, outer = port.get("containerPort", 0), port.get("hostPort", 0)
        if not inner:
            yield fields.required(f"{where}.containerPort")
        elif not 0 < inner < 65536:
            yield fields.invalid(f"{where}.containerPort", inner, _PORT_TEXT)
        if outer and not 0 < outer < 65536:
            yield fields.invalid(f"{where}.hostPort", outer, _PORT_TEXT)
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


def _extended(name: str, part: str, amounts: Mapping[tuple[str, str], Any], path: str) -> Iterator[Cause]:
    """Whole ones, and as many as the limit says: nothing is overcommitted."""
    amount, limit = amounts[part, name], amounts.get(("limits", name))
    where = fields.key(f"{path}.{part}", name)
    for error in names.qualified_name_errors(name):
        yield fields.invalid(where, name, error)
    if amount.denominator != 1:
        yield fields.invalid(where, str(amount), "must be an integer")
    if limit is None:
        yield fields.required(f"{path}.limits", f"Limit must be set for non overcommitable resources: {name}")
    elif part == "requests" and amount != limit:
        yield fields.invalid(f"{path}.requests", str(amount), f"must be equal to {name} limit of {limit}")


def resources(resources: Json, path: str) -> Iterator[Cause]:
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
        if podresources.is_extended(name):
            yield from _extended(name, part, amounts, path)
            continue
        if part == "requests" and limit is not None and amount > limit:
            text = f"must be less than or equal to {name} limit of {resources['limits'][name]}"
            yield fields.invalid(f"{path}.requests", resources["requests"][name], text)
