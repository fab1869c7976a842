"""Watches: sig-api-machinery "Watchers", bookmarks, initial events. Source: test/e2e/apimachinery/watch.go."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from tests.conformance.cluster import Cluster
from tests.conformance.rawapi import ask, watching

Json = dict[str, Any]


def configmap(name: str, **labels: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"mutation": "0"}}


def take(events: Iterator[Json], count: int) -> list[tuple[str, str, str]]:
    """(type, name, data) of the next events."""
    found = islice(events, count)
    return [(one["type"], one["object"]["metadata"]["name"], one["object"].get("data", {}).get("mutation", "")) for one in found]


def revision(cluster: Cluster) -> str:
    return str(ask(cluster, "GET", cluster.path("configmaps"), limit=1).json["metadata"]["resourceVersion"])


@pytest.mark.behaviour("machinery/watch-labels")
def test_a_watch_by_label_sees_objects_come_and_go(cluster: Cluster) -> None:
    path, start = cluster.path("configmaps"), revision(cluster)
    with watching(cluster, path, labelSelector="watch=a", resourceVersion=start) as events:
        cluster.create("configmaps", configmap("one", watch="a"))
        cluster.create("configmaps", configmap("two", watch="b"))
        cluster.patch("configmaps", "one", {"data": {"mutation": "1"}})
        cluster.patch("configmaps", "one", {"metadata": {"labels": {"watch": "b"}}})
        cluster.patch("configmaps", "two", {"metadata": {"labels": {"watch": "a"}}})
        cluster.patch("configmaps", "one", {"metadata": {"labels": {"watch": "a"}}})
        cluster.delete("configmaps", "one")
        cluster.delete("configmaps", "two")
        assert take(events, 7) == [
            ("ADDED", "one", "0"),
            ("MODIFIED", "one", "1"),
            ("DELETED", "one", "1"),
            ("ADDED", "two", "0"),
            ("ADDED", "one", "1"),
            ("DELETED", "one", "1"),
            ("DELETED", "two", "0"),
        ]


@pytest.mark.behaviour("machinery/watch-resume", "machinery/watch-restart")
def test_a_watch_goes_on_from_a_revision(cluster: Cluster) -> None:
    path = cluster.path("configmaps")
    made = cluster.create("configmaps", configmap("resumed", watch="r"))
    changed = [cluster.patch("configmaps", "resumed", {"data": {"mutation": str(turn)}}) for turn in (1, 2)]
    cluster.delete("configmaps", "resumed")
    with watching(cluster, path, labelSelector="watch=r", resourceVersion=changed[0]["metadata"]["resourceVersion"]) as events:
        assert take(events, 2) == [("MODIFIED", "resumed", "2"), ("DELETED", "resumed", "2")]
    with watching(cluster, path, labelSelector="watch=r", resourceVersion=made["metadata"]["resourceVersion"]) as events:
        (first,) = islice(events, 1)
    with watching(cluster, path, labelSelector="watch=r", resourceVersion=first["object"]["metadata"]["resourceVersion"]) as events:
        assert take(events, 2) == [("MODIFIED", "resumed", "2"), ("DELETED", "resumed", "2")]


@pytest.mark.behaviour("machinery/watch-order")
def test_watches_from_each_revision_see_one_order(cluster: Cluster) -> None:
    path, start = cluster.path("configmaps"), revision(cluster)
    for number in range(10):
        cluster.create("configmaps", configmap(f"o{number}", watch="o"))
        cluster.patch("configmaps", f"o{number}", {"data": {"mutation": "1"}})
        cluster.delete("configmaps", f"o{number // 2}") if number % 2 else None
    with watching(cluster, path, labelSelector="watch=o", resourceVersion=start) as events:
        whole = [one["object"]["metadata"]["resourceVersion"] for one in islice(events, 25)]
    assert whole == sorted(whole, key=int)
    for at in (3, 11, 20):
        with watching(cluster, path, labelSelector="watch=o", resourceVersion=whole[at]) as events:
            rest = [one["object"]["metadata"]["resourceVersion"] for one in islice(events, 25 - at - 1)]
        assert rest == whole[at + 1 :]


@pytest.mark.behaviour("machinery/watch-list")
def test_initial_events_end_with_a_bookmark(cluster: Cluster) -> None:
    path = cluster.path("configmaps")
    for name in ("i1", "i2"):
        cluster.create("configmaps", configmap(name, watch="i"))
    options = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "labelSelector": "watch=i",
    }
    with watching(cluster, path, **options) as events:
        assert take(events, 2) == [("ADDED", "i1", "0"), ("ADDED", "i2", "0")]
        (bookmark,) = islice(events, 1)
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        cluster.delete("configmaps", "i1")
        assert take(events, 1) == [("DELETED", "i1", "0")]
    partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    with watching(cluster, path, accept=partial, **options) as events:
        first, mark = islice(events, 2)
    for one in (first, mark):
        assert (one["object"]["kind"], one["object"]["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert "data" not in first["object"]
    refused = ask(cluster, "GET", path, watch="true", sendInitialEvents="true")
    assert (refused.code, refused.json["reason"]) == (422, "Invalid")


@pytest.mark.behaviour("machinery/watch-timeout")
def test_a_watch_ends_in_time_with_a_bookmark(cluster: Cluster) -> None:
    with watching(cluster, cluster.path("configmaps"), timeoutSeconds=1, allowWatchBookmarks="true", labelSelector="watch=none") as events:
        assert [one["type"] for one in events] == ["BOOKMARK"]
    with watching(cluster, cluster.path("configmaps"), timeoutSeconds=1, labelSelector="watch=none") as events:
        assert list(events) == []
