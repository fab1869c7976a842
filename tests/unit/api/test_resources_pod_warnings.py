"""Warnings about Pods that are accepted: Kubernetes' words, in a header that clients print."""

from __future__ import annotations

from typing import Any

import pytest

from polong.api.resources.pod_warnings import of_pod, of_template

from .conftest import Api

Json = dict[str, Any]

PODS = "/api/v1/namespaces/default/pods"
_SECRET = {"secret": {"secretName": "s", "items": [{"key": "a", "path": "d"}, {"key": "b", "path": "d/e"}]}}
_TOKEN = {"serviceAccountToken": {"path": "x"}}
_MAP = {"configMap": {"name": "m", "items": [{"key": "a", "path": "x"}]}}


def pod(spec: Json | None = None, container: Json | None = None, annotations: Json | None = None, name: str = "p") -> Json:
    containers = [{"name": "c", "image": "i", **(container or {})}]
    return {"metadata": {"name": name, "annotations": annotations or {}}, "spec": {"containers": containers, **(spec or {})}}


CASES: list[tuple[Json, list[str]]] = [
    (pod(), []),
    (
        pod(name="a.b"),
        ["metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"],
    ),
    (
        pod({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
        ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
    ),
    (
        pod({"topologySpreadConstraints": [{"topologyKey": "failure-domain.beta.kubernetes.io/zone"}]}),
        [
            "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "
            '"topology.kubernetes.io/zone" instead',
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ],
    ),
    (
        pod(annotations={"scheduler.alpha.kubernetes.io/critical-pod": ""}),
        ["metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the"],
    ),
    (
        pod(annotations={"container.seccomp.security.alpha.kubernetes.io/c": "x"}),
        ["metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the"],
    ),
    (pod({"hostAliases": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}]}), ['spec.hostAliases[1].ip: duplicate ip "1.2.3.4"']),
    (
        pod({"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]}),
        ['spec.imagePullSecrets[1].name: duplicate name "a"', 'spec.imagePullSecrets[2].name: invalid empty name ""'],
    ),
    (
        pod(container={"resources": {"limits": {"memory": "100m"}, "requests": {"memory": "1Gi"}}}),
        ['spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer'],
    ),
    (
        pod(container={"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
        ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
    ),
    (pod(container={"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]}), []),
    (
        pod(container={"env": [{"name": "A", "value": "1"}, {"name": "A", "valueFrom": {}}]}),
        ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
    ),
    (
        pod(container={"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]}),
        ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
    ),
    (
        pod(container={"ports": [{"containerPort": 80, "hostPort": 1}, {"containerPort": 80}]}),
        ["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
    ),
    (
        pod(container={"ports": [{"containerPort": 80, "hostPort": 1}, {"containerPort": 80, "hostPort": 1, "hostIP": "1.2.3.4"}]}),
        ["spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"],
    ),
    (
        pod({"initContainers": [{"name": "i", "ports": [{"containerPort": 80}]}]}, {"ports": [{"containerPort": 80}]}),
        ["spec.containers[0].ports[0]: duplicate port definition with spec.initContainers[0].ports[0]"],
    ),
    (pod(container={"ports": [{"containerPort": 80, "protocol": "UDP"}, {"containerPort": 80}]}), []),
    (
        pod({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "k"}]}}}),
        ["spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null"],
    ),
    (pod({"volumes": [{"name": "v", **_SECRET}]}), ['volume "v" (Secret "s"): overlapping paths: "d/e" with "d"']),
    (
        pod({"volumes": [{"name": "v", "projected": {"sources": [_TOKEN, _MAP]}}]}),
        ['volume "v" (Projected ConfigMap "m"): overlapping paths: "x" with "x"'],
    ),
]


@pytest.mark.parametrize(("given", "expected"), CASES)
def test_in_kubernetes_words(given: Json, expected: list[str]) -> None:
    found = of_pod(given)
    assert len(found) == len(expected), found
    assert all(text.startswith(begin) for text, begin in zip(found, expected, strict=True)), found


def test_of_a_template_every_path_begins_there() -> None:
    template = pod(
        {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}, annotations={"container.apparmor.security.beta.kubernetes.io/c": "x"}
    )
    assert list(of_template(template)) == [
        'template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        "template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "
        '"appArmorProfile" field instead',
    ]


async def test_they_come_with_the_answer_and_once(api: Api) -> None:
    env = {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}
    given = pod({"terminationGracePeriodSeconds": -1}, {**env, "imagePullPolicy": "IfNotPresent"})
    for query in ({"dryRun": "All"}, {}):
        made = await api.respond("POST", PODS, given, **query)
        assert made.status == 201
        assert made.headers["Warning"].count("299 - ") == 2
        assert "negative values are invalid and will be treated as 1" in made.headers["Warning"]
        assert 'hides previous definition of \\"A\\"' in made.headers["Warning"]
    changed = await api.respond(
        "PATCH", f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}}, headers={"content-type": "application/merge-patch+json"}
    )
    assert (changed.status, "Warning" in changed.headers) == (200, False)
