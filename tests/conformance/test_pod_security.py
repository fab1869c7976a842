"""Pod Security admission on a real node: what a namespace's labels let in, and what is only told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.conformance.rawapi import ask
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
LABEL = "pod-security.kubernetes.io/"
GOOD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def labelled(cluster: Cluster) -> Iterator[Any]:
    """Labels the namespace, for one test."""
    given: dict[str, str | None] = {}

    def label(**modes: str) -> None:
        given.update({f"{LABEL}{mode.replace('_', '-')}": value for mode, value in modes.items()})
        cluster.patch("namespaces", cluster.namespace, {"metadata": {"labels": given}}, kind="merge", namespaced=False)

    yield label
    gone = dict.fromkeys(given)
    cluster.patch("namespaces", cluster.namespace, {"metadata": {"labels": gone}}, kind="merge", namespaced=False)


@pytest.mark.behaviour("podsecurity/enforce")
def test_restricted(cluster: Cluster, labelled: Any) -> None:
    labelled(enforce="restricted")
    with pytest.raises(Refused) as refused:
        cluster.create("pods", pod("p", busybox("app", SLEEP), shareProcessNamespace=True))
    assert refused.value.code == 403
    assert refused.value.message == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "app" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "app" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "app" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "app" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    made = cluster.run(pod("p", busybox("app", SLEEP, securityContext=GOOD), shareProcessNamespace=True))
    assert made["spec"]["shareProcessNamespace"] is True, "sharing processes violates no standard"
    debugger = {"name": "d", "image": "busybox:1.28", "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}
    with pytest.raises(Refused, match="violates PodSecurity") as refused:
        cluster.patch("pods", "p", {"spec": {"ephemeralContainers": [debugger]}}, "ephemeralcontainers")
    assert refused.value.code == 403


@pytest.mark.behaviour("podsecurity/enforce")
def test_baseline(cluster: Cluster, labelled: Any) -> None:
    labelled(enforce="baseline")
    with pytest.raises(Refused, match=r"host namespaces \(hostPID=true\)"):
        cluster.create("pods", pod("q", busybox("app", SLEEP), hostPID=True))
    with pytest.raises(Refused, match=r'hostPath volumes \(volume "v"\)'):
        cluster.create("pods", pod("q", busybox("app", SLEEP), volumes=[{"name": "v", "hostPath": {"path": "/"}}]))
    cluster.run(pod("q", busybox("app", SLEEP)))


@pytest.mark.behaviour("podsecurity/warn")
def test_warnings(cluster: Cluster, labelled: Any) -> None:
    labelled(warn="baseline", enforce="privileged")
    answer = ask(cluster, "POST", cluster.path("pods"), pod("w", busybox("app", SLEEP), hostPID=True))
    assert answer.code == 201
    assert 'would violate PodSecurity \\"baseline:latest\\": host namespaces (hostPID=true)' in answer.headers["warning"]
    labels = {"metadata": {"labels": {f"{LABEL}enforce": "baseline"}}}
    path = f"/api/v1/namespaces/{cluster.namespace}"
    answer = ask(cluster, "PATCH", path, labels, media="application/merge-patch+json", dryRun="All")
    assert "w: host namespaces" in answer.headers["warning"]


@pytest.mark.behaviour("podsecurity/labels")
def test_labels_are_checked(cluster: Cluster, labelled: Any) -> None:
    with pytest.raises(Refused, match="must be one of privileged, baseline, restricted") as refused:
        labelled(enforce="strict")
    assert refused.value.code == 422
