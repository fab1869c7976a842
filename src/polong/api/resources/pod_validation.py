"""What a Pod must satisfy, in Kubernetes' words and field paths. Source: pkg/apis/core/validation/validation.go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polong.api.resources import container_validation as containers
from polong.api.resources import fields, metadata, pod_ephemeral, pod_resources, pod_scheduling, pod_security, pod_volumes
from polong.kit.errors import Cause
from polong.objects import names

Json = dict[str, Any]

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_MAX_HOSTNAME = 64
_MAX_DEADLINE = 2**31 - 1
_MAX_NAMESERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARACTERS = 3, 32, 2048


def validate(spec: Json, *, creating: bool) -> Iterator[Cause]:
    """Causes of refusal of a defaulted `spec`."""
    volumes = spec.get("volumes") or []
    yield from pod_volumes.validate(volumes)
    yield from containers.validate_all(spec, {volume.get("name") for volume in volumes})
    if creating and spec.get("ephemeralContainers"):
        yield fields.forbidden("spec.ephemeralContainers", "cannot be set on create")
    yield from pod_ephemeral.validate(spec)
    yield from pod_resources.validate(spec)
    if spec["restartPolicy"] not in _RESTART:
        yield fields.unsupported("spec.restartPolicy", spec["restartPolicy"], _RESTART)
    deadline = spec.get("activeDeadlineSeconds")
    if creating and deadline is not None and not 1 <= deadline <= _MAX_DEADLINE:
        yield fields.invalid("spec.activeDeadlineSeconds", deadline, f"must be between 1 and {_MAX_DEADLINE}, inclusive")
    yield from _dns(spec)
    yield from pod_security.validate(spec)
    for field in ("hostname", "subdomain"):
        for error in names.dns_label_errors(spec[field]) if spec.get(field) else ():
            yield fields.invalid(f"spec.{field}", spec[field], error)
    if account := spec.get("serviceAccountName"):
        for error in names.dns_subdomain_errors(account):
            yield fields.invalid("spec.serviceAccountName", account, error)
    yield from pod_scheduling.validate(spec)
    if creating:
        yield from pod_scheduling.gates(spec)
    yield from _names(spec)
    yield from metadata.label_causes("spec.nodeSelector", spec.get("nodeSelector") or {})
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        for error in names.qualified_name_errors(gate.get("conditionType", "")):
            yield fields.invalid(f"spec.readinessGates[{index}].conditionType", gate.get("conditionType", ""), error)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from _host_alias(alias, fields.at("spec.hostAliases", index))
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from toleration_causes(toleration, fields.at("spec.tolerations", index))


def _names(spec: Json) -> Iterator[Cause]:
    """hostnameOverride (KEP-4762): a name of its own, so nothing else may give it one."""
    name, path = spec.get("hostnameOverride"), "spec.hostnameOverride"
    if not name:
        return
    if len(name) > _MAX_HOSTNAME:
        yield fields.invalid(path, name, f"must be no more than {_MAX_HOSTNAME} characters")
    for error in names.dns_subdomain_errors(name):
        yield fields.invalid(path, name, error)
    for other, text in (("hostNetwork", "hostNetwork is true"), ("setHostnameAsFQDN", "setHostnameAsFQDN is true")):
        if spec.get(other) is True:
            yield fields.forbidden(path, f"may not be specified when {text}")


def _dns(spec: Json) -> Iterator[Cause]:
    policy, config = spec["dnsPolicy"], spec.get("dnsConfig") or {}
    if policy not in _DNS:
        yield fields.unsupported("spec.dnsPolicy", policy, _DNS)
    if policy == "None":
        if not config:
            yield fields.required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            yield fields.required("spec.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
    yield from _dns_limits(config)
    for index, server in enumerate(config.get("nameservers") or ()):
        for error in names.ip_errors(server):
            yield fields.invalid(fields.at("spec.dnsConfig.nameservers", index), server, error)
    for index, domain in enumerate(config.get("searches") or ()):
        for error in names.dns_subdomain_errors(domain.rstrip(".")) if domain != "." else ():
            yield fields.invalid(fields.at("spec.dnsConfig.searches", index), domain, error)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield fields.required(fields.at("spec.dnsConfig.options", index), "must not be empty")


def _dns_limits(config: Json) -> Iterator[Cause]:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _MAX_NAMESERVERS:
        yield fields.invalid("spec.dnsConfig.nameservers", servers, f"must not have more than {_MAX_NAMESERVERS} nameservers")
    if len(searches) > _MAX_SEARCHES:
        yield fields.invalid("spec.dnsConfig.searches", searches, f"must not have more than {_MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > _MAX_SEARCH_CHARACTERS:
        text = f"must not have more than {_MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        yield fields.invalid("spec.dnsConfig.searches", searches, text)


def _host_alias(alias: Json, path: str) -> Iterator[Cause]:
    for error in names.ip_errors(alias.get("ip", "")):
        yield fields.invalid(f"{path}.ip", alias.get("ip", ""), error)
    for hostname in alias.get("hostnames") or ():
        for error in names.dns_subdomain_errors(hostname):
            yield fields.invalid(f"{path}.hostnames", hostname, error)


def toleration_causes(toleration: Json, path: str) -> Iterator[Cause]:
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
