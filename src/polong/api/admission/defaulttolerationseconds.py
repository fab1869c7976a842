"""DefaultTolerationSeconds: what a node's short absence does not cost."""

from __future__ import annotations

from polong.api.admission.chain import Attempt, Plugin
from polong.objects.gvk import PODS

_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_SECONDS = 300


class DefaultTolerationSeconds(Plugin):
    async def mutate(self, attempt: Attempt) -> None:
        if attempt.kind.resource != PODS or attempt.subresource:
            return
        tolerations = attempt.obj["spec"].setdefault("tolerations", [])
        for key in _TOLERATED:
            if not any(one.get("key") in (key, None) and one.get("effect") in ("NoExecute", None) for one in tolerations):
                tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS})
