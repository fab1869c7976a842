"""Static Pods: what a manifest of the node's own becomes, and which of them are to run. Pure.

Source: kubelet config/common.go (applyDefaults, tryDecodeSinglePod), pod/mirror_client.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from polong.kit.errors import BadRequest, Invalid, PolongError
from polong.objects import pod as pods
from polong.objects import podreferences, yaml

Json = dict[str, Any]

HASH, SEEN = "kubernetes.io/config.hash", "kubernetes.io/config.seen"
_TOLERATION = {"operator": "Exists", "effect": "NoExecute"}

Complete = Callable[[Any], Json]
"""Decodes, defaults and validates a Pod as the API does. BadRequest, Invalid."""


@dataclass(frozen=True)
class Manifests:
    """`pods` by UID, `paths` the UID by path of the file, `problems` by path of the file."""

    pods: Mapping[str, Json] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def manifests(files: Mapping[str, bytes | str], node_name: str, now: str, complete: Complete) -> Manifests:
    """Of two files with the same Pod the first counts, by path. `now`: RFC 3339."""
    found: dict[str, Json] = {}
    problems: dict[str, str] = {}
    names: dict[tuple[str, str], str] = {}
    for path, content in sorted(files.items()):
        if isinstance(content, str):
            problems[path] = content
            continue
        try:
            pod = manifest(path, content, node_name, now, complete)
        except PolongError as error:
            problems[path] = str(error)
            continue
        where = pods.namespace(pod), pods.name(pod)
        if where in names:
            problems[path] = f"pod {where[0]}/{where[1]} is already in {names[where]}"
            continue
        names[where] = path
        found[pods.uid(pod)] = pod
    uids = {(pods.namespace(pod), pods.name(pod)): uid for uid, pod in found.items()}
    return Manifests(found, {path: uids[where] for where, path in names.items()}, problems)


def manifest(path: str, content: bytes, node_name: str, now: str, complete: Complete) -> Json:
    """One static Pod. Its UID follows from node, file and content: the same file is the same Pod, also for a new daemon."""
    document = yaml.load_one(content, path)
    if not isinstance(document, dict):
        raise BadRequest("a manifest is one object of kind Pod")
    metadata = document.get("metadata") if isinstance(document.get("metadata"), dict) else {}
    assert isinstance(metadata, dict)
    if not metadata.get("name"):
        raise Invalid("metadata.name: Required value: a static pod needs a name")
    pod = complete({**document, "metadata": {**metadata, "namespace": metadata.get("namespace") or "default"}})
    uid = hashlib.sha256(f"host:{node_name}\nfile:{path}\n".encode() + content).hexdigest()[:32]
    annotations = {**(pod["metadata"].get("annotations") or {}), HASH: uid, SEEN: now, pods.SOURCE: "file"}
    annotations.pop(pods.MIRROR, None)
    pod["metadata"] |= {
        "name": f"{pod['metadata']['name']}-{node_name}".lower(),
        "uid": uid,
        "annotations": annotations,
    }
    pod["spec"]["nodeName"] = node_name
    tolerations = pod["spec"].get("tolerations") or []
    if _TOLERATION not in tolerations:
        pod["spec"]["tolerations"] = [*tolerations, _TOLERATION]
    if referred := podreferences.kinds(pod):
        raise Invalid(f"static pods may not reference {referred[0]}")
    return pod


def mirror(pod: Json, node: Json) -> Json:
    """The object that stands for a static Pod in the API."""
    metadata = {key: value for key, value in pod["metadata"].items() if key in ("name", "namespace", "labels")}
    metadata["annotations"] = {**pod["metadata"]["annotations"], pods.MIRROR: pods.uid(pod)}
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": node["metadata"]["name"],
        "uid": node["metadata"].get("uid", ""),
        "controller": True,
    }
    metadata["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pods.spec(pod)}
