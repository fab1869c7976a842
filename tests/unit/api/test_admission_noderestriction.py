"""NodeRestriction: what a kubelet may create."""

from __future__ import annotations

from typing import Any

import pytest

from polong.api.service import User

from .conftest import Api, pod

Json = dict[str, Any]

PODS = "/api/v1/namespaces/default/pods"
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n"}


def mirror(metadata: Json | None = None, **spec: Any) -> Json:
    made = pod(**({"nodeName": "n1"} | spec))
    made["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "abc"}, "ownerReferences": [OWNER], **(metadata or {})}
    return made


async def test_a_mirror_is_taken_as_it_is(api: Api) -> None:
    code, made = await api("POST", PODS, mirror(), user=NODE)
    assert code == 201, made
    assert "serviceAccountName" not in made["spec"]
    assert not made["spec"].get("volumes")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (pod(nodeName="n1"), 'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods'),
        (mirror({"ownerReferences": []}), 'node "n1" can only create pods with an owner reference set to itself'),
        (mirror({"ownerReferences": [{**OWNER, "name": "n2"}]}), 'node "n1" can only create pods with an owner reference set to itself'),
        (mirror(volumes=[{"name": "v", "configMap": {"name": "m"}}]), 'node "n1" can not create pods that reference configmaps'),
        (mirror(volumes=[{"name": "v", "secret": {"secretName": "s"}}]), "a mirror pod may not reference secrets"),
        (mirror(serviceAccountName="default"), "a mirror pod may not reference service accounts"),
    ],
)
async def test_nothing_else(api: Api, body: Json, message: str) -> None:
    code, answer = await api("POST", PODS, body, user=NODE)
    assert (code, message in answer["message"]) == (403, True), answer["message"]
    assert (await api("GET", PODS))[1]["items"] == []


async def test_nobody_gets_secrets_by_a_forged_mirror(api: Api) -> None:
    code, answer = await api("POST", PODS, mirror(volumes=[{"name": "v", "secret": {"secretName": "s"}}]))
    assert (code, "a mirror pod may not reference secrets" in answer["message"]) == (403, True)
