"""Events through both of their APIs: one store, all verbs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster
from tests.conformance.life import life

Json = dict[str, Any]
V1 = "events.k8s.io/v1/events"


def core(cluster: Cluster, name: str = "") -> Json:
    involved = {"kind": "Pod", "namespace": cluster.namespace, "name": "some"}
    return {"metadata": {"name": name}, "involvedObject": involved, "reason": "Test", "message": "one", "type": "Normal"}


def new(cluster: Cluster, name: str = "") -> Json:
    return {
        "metadata": {"name": name},
        "regarding": {"kind": "Pod", "namespace": cluster.namespace, "name": "some"},
        "reason": "Test",
        "note": "one",
        "type": "Normal",
        "action": "Do",
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "test",
        "reportingInstance": "test-1",
    }


@pytest.mark.behaviour("events/core", "events/core-collection")
def test_events_of_core(cluster: Cluster) -> None:
    def change(event: Json) -> None:
        event["message"] = "two"

    life(cluster, "events", core(cluster), change)


@pytest.mark.behaviour("events/v1", "events/v1-collection")
def test_events_of_their_own_group_are_the_same_events(cluster: Cluster) -> None:
    def change(event: Json) -> None:
        event["series"] = {"count": 2, "lastObservedTime": "2026-01-02T03:04:06.000007Z"}

    life(cluster, V1, new(cluster), change)
    cluster.create("events", core(cluster, "shared"))
    seen = cluster.get(V1, "shared")
    assert (seen["note"], seen["regarding"]["name"], seen["apiVersion"]) == ("one", "some", "events.k8s.io/v1")
    cluster.patch(V1, "shared", {"note": "three"}, kind="merge")
    assert cluster.get("events", "shared")["message"] == "three"
    cluster.delete(V1, "shared")
    cluster.gone("events", "shared")
