"""Lists in pages: sig-api-machinery "Servers with support for API chunking". Source: test/e2e/apimachinery/chunking.go."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.conformance.cluster import Cluster
from tests.conformance.rawapi import ask

Json = dict[str, Any]
COUNT = 40


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Cluster:
    for number in range(COUNT):
        metadata = {"name": f"template-{number:04}", "labels": {"chunk": "yes"}}
        containers = [{"name": "c", "image": "test"}]
        template = {"metadata": {}, "spec": {"containers": containers}}
        cluster.create("podtemplates", {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": template})
    return cluster


@pytest.mark.behaviour("machinery/chunking")
@pytest.mark.parametrize("limit", [1, 7, 20, 39, 40, 100])
def test_pages_make_up_one_snapshot(filled: Cluster, limit: int) -> None:
    path = filled.path("podtemplates")
    names: list[str] = []
    token, revision = "", ""
    while True:
        page = ask(filled, "GET", path, limit=limit, **({"continue": token} if token else {})).json
        metadata = page["metadata"]
        names += [item["metadata"]["name"] for item in page["items"]]
        assert len(page["items"]) <= limit
        assert revision in ("", metadata["resourceVersion"])
        revision, token = metadata["resourceVersion"], metadata.get("continue", "")
        if not token:
            assert "remainingItemCount" not in metadata
            break
        assert metadata["remainingItemCount"] == COUNT - len(names)
    assert names == [f"template-{number:04}" for number in range(COUNT)]


@pytest.mark.behaviour("machinery/chunking")
def test_pages_with_a_selector_and_wrong_tokens(filled: Cluster) -> None:
    path = filled.path("podtemplates")
    page = ask(filled, "GET", path, limit=10, labelSelector="chunk=yes").json
    assert "remainingItemCount" not in page["metadata"]
    token = page["metadata"]["continue"]
    wrong = ask(filled, "GET", path, limit=10, resourceVersion="5", **{"continue": token})
    assert (wrong.code, wrong.json["message"]) == (400, "specifying resource version is not allowed when using continue")
    assert ask(filled, "GET", path, limit=10, **{"continue": "nonsense"}).code == 400
    assert ask(filled, "GET", filled.path("configmaps"), limit=10, **{"continue": token}).code == 400


@pytest.mark.slow
@pytest.mark.behaviour("machinery/chunking-expired")
def test_an_expired_token_can_be_gone_on_with_inconsistently(filled: Cluster) -> None:
    path = filled.path("podtemplates")
    token = ask(filled, "GET", path, limit=10).json["metadata"]["continue"]
    filled.delete("podtemplates", "template-0015")
    deadline = time.monotonic() + 500
    while (answer := ask(filled, "GET", path, limit=10, **{"continue": token})).code == 200 and time.monotonic() < deadline:
        time.sleep(10)
    assert (answer.code, answer.json["reason"]) == (410, "Expired")
    resume = answer.json["metadata"]["continue"]
    rest = ask(filled, "GET", path, **{"continue": resume}).json
    names = [item["metadata"]["name"] for item in rest["items"]]
    assert names == [f"template-{number:04}" for number in range(10, COUNT) if number != 15]
