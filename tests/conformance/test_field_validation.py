"""fieldValidation over every write: sig-api-machinery "FieldValidation". Source: test/e2e/apimachinery/field_validation.go."""

from __future__ import annotations

import json

import pytest
from tests.conformance.cluster import Cluster
from tests.conformance.rawapi import Answer, ask

pytestmark = pytest.mark.behaviour("machinery/field-validation")

WRONG = """{
 "apiVersion": "v1", "kind": "Pod",
 "metadata": {"name": "NAME", "unknownMeta": 1, "labels": {"a": "b"}, "labels": {"a": "c"}},
 "spec": {"unknownField": "x", "restartPolicy": "Never", "restartPolicy": "Always",
  "containers": [{"name": "c", "image": "nginx", "unknownNested": 1, "imagePullPolicy": "Never", "imagePullPolicy": "IfNotPresent"}]}
}"""
PROBLEMS = [
    'duplicate field "metadata.labels"',
    'unknown field "metadata.unknownMeta"',
    'duplicate field "spec.restartPolicy"',
    'unknown field "spec.unknownField"',
    'duplicate field "spec.containers[0].imagePullPolicy"',
    'unknown field "spec.containers[0].unknownNested"',
]


def send(cluster: Cluster, method: str, path: str, text: str, mode: str, media: str = "application/json") -> Answer:
    """The body as it is: no client may mend it."""
    query = f"?dryRun=All&fieldValidation={mode}" if mode else "?dryRun=All"
    headers = {"Accept": "application/json", "Content-Type": media, **cluster.api.default_headers}
    answer = cluster.api.rest_client.pool_manager.request(
        method, cluster.api.configuration.host + path + query, body=text.encode(), headers=headers
    )
    return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data.decode())


@pytest.mark.parametrize("mode", ["Strict", "Warn", "", "Ignore"])
def test_create_and_replace(cluster: Cluster, mode: str) -> None:
    name = f"v-{mode.lower() or 'default'}"
    answers = [send(cluster, "POST", cluster.path("pods"), WRONG.replace("NAME", name), mode)]
    cluster.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
    changed = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "NAME"}, "data": {"a": "1", "a": "2"}, "dta": {}}'
    replaced = send(cluster, "PUT", cluster.path("configmaps", name), changed.replace("NAME", name), mode)
    for answer, problems in ((answers[0], PROBLEMS), (replaced, ['duplicate field "data.a"', 'unknown field "dta"'])):
        if mode == "Strict":
            assert (answer.code, answer.json["reason"]) == (400, "BadRequest")
            assert "strict decoding error: " in answer.json["message"]
            assert all(problem in answer.json["message"] for problem in problems)
        else:
            assert answer.code in (200, 201)
            warnings = answer.headers.get("warning", "")
            assert all((problem.replace('"', '\\"') in warnings) == (mode != "Ignore") for problem in problems)
    if mode != "Strict":
        assert answers[0].json["metadata"]["labels"] == {"a": "c"}


@pytest.mark.parametrize("media", ["application/merge-patch+json", "application/strategic-merge-patch+json"])
def test_patches(cluster: Cluster, media: str) -> None:
    name = "v-" + media.partition("-")[0].rpartition("/")[2]
    cluster.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
    path, patch = cluster.path("configmaps", name), '{"data": {"a": "1", "a": "2"}, "unknownField": 1}'
    strict = send(cluster, "PATCH", path, patch, "Strict", media)
    assert strict.code == 400
    assert all(problem in strict.json["message"] for problem in ('duplicate field "data.a"', 'unknown field "unknownField"'))
    assert "duplicate" in send(cluster, "PATCH", path, patch, "Warn", media).headers["warning"]
    assert "warning" not in send(cluster, "PATCH", path, patch, "Ignore", media).headers


def test_apply(cluster: Cluster) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "dta": {"a": "b"}}
    for mode in ("Strict", "Warn"):
        query = {"fieldManager": "m", "fieldValidation": mode}
        answer = ask(cluster, "PATCH", cluster.path("configmaps", "applied"), config, media="application/apply-patch+yaml", **query)
        assert answer.code == 400, answer.text
        assert "dta" in answer.json["message"]


def test_an_unknown_mode_is_refused(cluster: Cluster) -> None:
    answer = send(cluster, "POST", cluster.path("pods"), json.dumps({"kind": "Pod"}), "Sometimes")
    assert answer.code in (400, 422)
    assert "fieldValidation" in answer.json["message"]
