"""CRI's list filters. Pure; every condition that is set must hold."""

from __future__ import annotations

from collections.abc import Mapping

from polong.criapi.wire import v1


def sandbox_matches(item: v1.PodSandbox, wanted: v1.PodSandboxFilter) -> bool:
    """An id matches by prefix, as with other runtimes."""
    if wanted.id and not item.id.startswith(wanted.id):
        return False
    if wanted.HasField("state") and item.state != wanted.state.state:
        return False
    return labels_match(item.labels, wanted.label_selector)


def container_matches(item: v1.Container, wanted: v1.ContainerFilter) -> bool:
    if wanted.id and not item.id.startswith(wanted.id):
        return False
    if wanted.pod_sandbox_id and not item.pod_sandbox_id.startswith(wanted.pod_sandbox_id):
        return False
    if wanted.HasField("state") and item.state != wanted.state.state:
        return False
    return labels_match(item.labels, wanted.label_selector)


def labels_match(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())
