"""How the kubelet names Pods and recognises containers. Pure."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from polong.objects import pod as pods

Json = dict[str, Any]

ID_SCHEME = "polong://"


def label(pod: Json) -> str:
    """`name_namespace(uid)`, as Kubernetes names a Pod in messages."""
    return f"{pods.name(pod)}_{pods.namespace(pod)}({pods.uid(pod)})"


def container_hash(container: Json) -> str:
    """What a running container was made from: a change of it restarts the container (Kubernetes hashes name and image)."""
    text = json.dumps([container["name"], container.get("image", "")], separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:8]


def go_duration(seconds: float) -> str:
    """10s, 1m20s, 5m0s: whole seconds as Go's time.Duration prints them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
