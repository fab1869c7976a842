"""Defaults of a Pod, as a kube-apiserver writes them. Source: pkg/apis/core/v1/defaults.go."""

from __future__ import annotations

from typing import Any

from polong.objects import podresources

Json = dict[str, Any]

_PROBE = {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}


def apply(spec: Json) -> None:
    """Fill in `spec`. Idempotent."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("terminationGracePeriodSeconds", 30)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for volume in spec.get("volumes") or ():
        _volume(volume)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            _container(container, host_network=spec.get("hostNetwork") is True)
    _pod_requests(spec)


def _pod_requests(spec: Json) -> None:
    """Of a Pod with resources of its own: what its containers request together, else what its limits say."""
    resources = spec.get("resources")
    if not isinstance(resources, dict) or not (resources.get("limits") or resources.get("requests")):
        return
    try:
        together = podresources.of_containers({"spec": spec}, "requests")
    except ValueError:
        # Validation says which quantity is none.
        return
    requests = dict(resources.get("requests") or {})
    for name, amount in together.items():
        if podresources.is_pod_level(name):
            requests.setdefault(name, podresources.text(name, amount))
    for name, amount in (resources.get("limits") or {}).items():
        if podresources.is_pod_level(name):
            requests.setdefault(name, amount)
    if requests:
        resources["requests"] = requests


def _volume(volume: Json) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    for source in ("configMap", "downwardAPI", "projected", "secret"):
        if isinstance(volume.get(source), dict):
            volume[source].setdefault("defaultMode", 0o644)
    if isinstance(image := volume.get("image"), dict):
        image.setdefault("pullPolicy", pull_policy(image.get("reference", "")))
    _downward(volume.get("downwardAPI") or {})
    for source in (volume.get("projected") or {}).get("sources") or ():
        _downward(source.get("downwardAPI") or {})
        if isinstance(token := source.get("serviceAccountToken"), dict):
            token.setdefault("expirationSeconds", 3600)


def _downward(source: Json) -> None:
    for item in source.get("items") or ():
        if isinstance(item.get("fieldRef"), dict):
            item["fieldRef"].setdefault("apiVersion", "v1")


def _container(container: Json, *, host_network: bool) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", pull_policy(container.get("image", "")))
    _resources(container.setdefault("resources", {}))
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network and port.get("containerPort"):
            port.setdefault("hostPort", port["containerPort"])
    for entry in container.get("env") or ():
        reference = (entry.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(probe := container.get(name), dict):
            _probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http(hook.get("httpGet"))


def _probe(probe: Json) -> None:
    # Zero is what Go's decoder makes of an absent field: it asks for the default as well.
    for name, value in _PROBE.items():
        probe[name] = probe.get(name) or value
    _http(probe.get("httpGet"))
    if isinstance(probe.get("grpc"), dict):
        probe["grpc"].setdefault("service", "")


def _http(action: Json | None) -> None:
    if action is not None:
        action["path"] = action.get("path") or "/"
        action["scheme"] = action.get("scheme") or "HTTP"


def pull_policy(image: str) -> str:
    """Always for `:latest` and for no tag; else IfNotPresent."""
    if "@" in image:
        return "IfNotPresent"
    _, _, last = image.rpartition("/")
    _, colon, tag = last.partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def _resources(resources: Json) -> None:
    limits = resources.get("limits")
    if limits:
        requests = resources.setdefault("requests", {})
        for name, amount in limits.items():
            requests.setdefault(name, amount)
