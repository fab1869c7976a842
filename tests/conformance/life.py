"""The life of an object of any kind, verb by verb, as Kubernetes' own conformance tests walk through it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.e2e.cluster import eventually

Json = dict[str, Any]


def labelled(obj: Json, name: str, **labels: str) -> Json:
    made = copy.deepcopy(obj)
    made["metadata"] = {**made.get("metadata", {}), "name": name, "labels": {"life": "test", **labels}}
    return made


def life(cluster: Cluster, plural: str, obj: Json, change: Callable[[Json], None], *, namespaced: bool = True) -> None:
    """Every verb on three objects like `obj`; `change` alters one in place, and the change must be kept by PUT."""
    where = {"namespaced": namespaced}
    made = [cluster.create(plural, labelled(obj, f"life-{number}"), **where) for number in range(3)]
    with pytest.raises(Refused) as taken:
        cluster.create(plural, labelled(obj, "life-0"), **where)
    assert (taken.value.code, taken.value.reason) == (409, "AlreadyExists")
    assert cluster.get(plural, "life-0", **where)["metadata"]["uid"] == made[0]["metadata"]["uid"]
    assert len(cluster.list(plural, labelSelector="life=test", **where)) == 3

    patched = cluster.patch(plural, "life-1", {"metadata": {"labels": {"patched": "yes"}}}, kind="merge", **where)
    assert patched["metadata"]["labels"] == {"life": "test", "patched": "yes"}
    assert [each["metadata"]["name"] for each in cluster.list(plural, labelSelector="patched=yes", **where)] == ["life-1"]

    current = cluster.get(plural, "life-2", **where)
    stale = copy.deepcopy(current)
    change(current)
    replaced = cluster.replace(plural, current, **where)
    assert replaced["metadata"]["resourceVersion"] != stale["metadata"]["resourceVersion"]
    expected = copy.deepcopy(stale)
    change(expected)
    found = cluster.get(plural, "life-2", **where)
    for part in set(expected) - {"metadata", "status"}:
        assert found[part] == expected[part]
    with pytest.raises(Refused) as conflict:
        cluster.replace(plural, stale, **where)
    assert (conflict.value.code, conflict.value.reason) == (409, "Conflict")

    cluster.delete(plural, "life-0", **where)
    cluster.gone(plural, "life-0", **where)
    cluster.request("DELETE", cluster.path(plural, namespaced=namespaced), labelSelector="life=test")
    eventually(lambda: not cluster.list(plural, labelSelector="life=test", **where), f"{plural} are gone")
    seen = changes(cluster, plural, made[0]["metadata"]["resourceVersion"], namespaced=namespaced)
    assert ("ADDED", "life-1") in seen
    assert ("MODIFIED", "life-2") in seen
    assert {("DELETED", f"life-{number}") for number in range(3)} <= set(seen)


def changes(cluster: Cluster, plural: str, since: str, *, namespaced: bool = True, selector: str = "life=test") -> list[tuple[str, str]]:
    """(type, name) of what a watch tells from that revision on, within a second."""
    query = [("watch", "true"), ("resourceVersion", since), ("labelSelector", selector), ("timeoutSeconds", "1")]
    sent = cluster.api.param_serialize("GET", cluster.path(plural, namespaced=namespaced), query_params=query)
    text = cluster.api.call_api(*sent).read().decode()
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text.rstrip()):
        event, at = decoder.raw_decode(text, at)
        while at < len(text) and text[at].isspace():
            at += 1
        found.append((event["type"], event["object"].get("metadata", {}).get("name", "")))
    return found
