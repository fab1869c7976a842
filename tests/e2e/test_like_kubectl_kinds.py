"""`alias kubectl=polong` for kinds beside Pods: the same words are printed about them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from tests.e2e.cluster import Client, Node
from tests.e2e.test_like_kubectl import said

SPACE = "alike-kinds"

OBJECTS = [
    {"kind": "Namespace", "metadata": {"name": SPACE}},
    {"kind": "ConfigMap", "metadata": {"name": "c", "labels": {"a": "b"}}, "data": {"k": "one\ntwo"}, "binaryData": {"b": "AAEC"}},
    {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter2"}},
    {"kind": "ServiceAccount", "metadata": {"name": "who"}, "imagePullSecrets": [{"name": "a"}, {"name": "b"}]},
    {
        "kind": "LimitRange",
        "metadata": {"name": "l"},
        "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "10m"}}, {"type": "Pod", "max": {"cpu": "2"}}]},
    },
    {"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "3", "limits.cpu": "2"}, "scopes": ["NotBestEffort"]}},
    {"kind": "PodTemplate", "metadata": {"name": "t"}, "template": {"spec": {"containers": [{"name": "c", "image": "x:1"}]}}},
    {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "alike"}, "handler": "crun"},
    {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "alike"},
        "value": 5,
        "description": "five",
    },
]

SAME = """
get configmaps
get cm c -o yaml
get secrets
get secret s -o wide
get sa
get serviceaccounts who -o name
get limits
get podtemplates
get runtimeclasses
get runtimeclass alike -o yaml
get pc alike
get cm,secrets
get cm --show-labels
describe cm c
describe secret s
describe sa who
describe limits l
describe quota q
describe pc alike
describe ns alike-kinds
delete cm nope
get cm nope
"""


@pytest.fixture(scope="module")
def space(node: Node) -> Iterator[str]:
    node.polong.apply(*({"apiVersion": "v1", **one} for one in OBJECTS[:1]))
    applied = ("apply", "-n", SPACE, "-f", "-")
    node.polong(*applied, stdin=yaml.safe_dump_all({"apiVersion": "v1", **one} for one in OBJECTS[1:]))
    try:
        yield SPACE
    finally:
        node.polong("delete", "namespace", SPACE)
        for kind in ("runtimeclass", "priorityclass"):
            node.polong("delete", kind, "alike", "--ignore-not-found")


@pytest.mark.parametrize("line", SAME.strip().splitlines())
def test_the_same_words(polong: Client, kubectl: Client, space: str, line: str) -> None:
    words = [*line.split(" "), "-n", space]
    assert said(polong, words) == said(kubectl, words)
