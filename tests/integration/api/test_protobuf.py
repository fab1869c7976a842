"""Typed calls of real kubectl: since 1.32 their bodies are protobuf, and there is no way back to JSON."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from .conftest import Api, Kubectl

FULL = yaml.safe_load((Path(__file__).parent / "full_pod.yaml").read_text())


async def test_a_copied_pod_is_the_same_pod(kubectl: Kubectl, api: Api) -> None:
    await kubectl("create", "-f", "-", stdin=json.dumps(FULL))
    await kubectl("debug", "full", "--copy-to=copy", "--image=busybox", "-c", "debugger", "--share-processes=false")
    source, copy = [json.loads(await kubectl("get", "pod", name, "-o", "json"))["spec"] for name in ("full", "copy")]
    debugger = copy["containers"].pop()
    assert (debugger["name"], debugger["image"]) == ("debugger", "busybox")
    # Since 1.33 debug leaves the probes of the copied containers out.
    for container in (*source["containers"], *copy["containers"], *source["initContainers"], *copy["initContainers"]):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            container.pop(probe, None)
    assert copy.pop("shareProcessNamespace") is False
    for mine, theirs in zip(copy["containers"], source["containers"], strict=True):
        assert mine == theirs
    assert copy == source


async def test_typed_writes(kubectl: Kubectl, api: Api) -> None:
    await kubectl("create", "namespace", "team")
    await kubectl("create", "configmap", "c", "-n", "team", "--from-literal=a=b", "--from-literal=empty=")
    await kubectl("create", "secret", "generic", "s", "-n", "team", "--from-literal=a=\u00e9")
    assert json.loads(await kubectl("get", "configmap", "c", "-n", "team", "-o", "json"))["data"] == {"a": "b", "empty": ""}
    assert json.loads(await kubectl("get", "secret", "s", "-n", "team", "-o", "json"))["data"] == {"a": "w6k="}
    await kubectl("create", "configmap", "c", "-n", "team", code=1)
    assert 'configmaps "c" already exists' in kubectl.error
