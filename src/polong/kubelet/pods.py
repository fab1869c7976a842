"""Reading of Pods: the few fields that planning and status share. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

Json = dict[str, Any]

DEFAULT_GRACE = 30


def uid(pod: Json) -> str:
    return str(pod["metadata"].get("uid", ""))


def name(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def namespace(pod: Json) -> str:
    return str(pod["metadata"].get("namespace") or "default")


def label(pod: Json) -> str:
    """`name_namespace(uid)`, as Kubernetes names a Pod in messages."""
    return f"{name(pod)}_{namespace(pod)}({uid(pod)})"


def containers(pod: Json) -> Sequence[Json]:
    return pod["spec"].get("containers") or ()


def container(pod: Json, wanted: str) -> Json | None:
    return next((each for each in containers(pod) if each["name"] == wanted), None)


def restart_policy(pod: Json) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def host_network(pod: Json) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def terminating(pod: Json) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def grace(pod: Json) -> int:
    """Seconds between the stop signal and SIGKILL: what the deletion asked for, else the Pod's own."""
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    if terminating(pod) and asked is not None:
        return max(int(asked), 0)
    own = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if own is None else max(int(own), 1)


def phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def terminal(pod: Json) -> bool:
    """The Pod has come to its end: Kubernetes never runs it again."""
    return phase(pod) in ("Succeeded", "Failed")


def container_hash(container: Json) -> str:
    """Identity of what a running container was made from: a change of it restarts the container (Kubernetes hashes name and image)."""
    text = json.dumps([container["name"], container.get("image", "")], separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:8]
