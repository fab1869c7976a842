"""Warnings about `polong.dev/reload` where it will not do what it says: when a Pod is made, and when the annotation is changed."""

from __future__ import annotations

from polong.api.admission.chain import Attempt, Plugin
from polong.objects import reload
from polong.objects.gvk import PODS


class Reload(Plugin):
    async def validate(self, attempt: Attempt) -> None:
        if attempt.kind.resource != PODS or attempt.subresource:
            return
        before = ((attempt.old or {}).get("metadata", {}).get("annotations") or {}).get(reload.ANNOTATION)
        now = (attempt.obj["metadata"].get("annotations") or {}).get(reload.ANNOTATION)
        if now != before:
            attempt.context.warnings.extend(reload.warnings(attempt.obj))
