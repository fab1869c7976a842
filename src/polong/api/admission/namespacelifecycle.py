"""NamespaceLifecycle: nothing is created in a namespace that is not there, or is going."""

from __future__ import annotations

from polong.api import status
from polong.api.admission.chain import Attempt, Plugin
from polong.api.resources.namespaces import Namespaces
from polong.kit.errors import Cause
from polong.objects import gvk

_NAMESPACES = Namespaces()


class NamespaceLifecycle(Plugin):
    async def mutate(self, attempt: Attempt) -> None:
        if attempt.verb != "create" or not attempt.kind.resource.namespaced:
            return
        name = attempt.namespace
        found = await attempt.store.find(_NAMESPACES, "", name)
        if found is None:
            raise status.not_found(gvk.NAMESPACES, name)
        if found[0]["metadata"].get("deletionTimestamp"):
            text = f"unable to create new content in namespace {name} because it is being terminated"
            cause = Cause("NamespaceTerminating", f"namespace {name} is being terminated", "metadata.namespace")
            raise status.forbidden(attempt.kind.resource, str(attempt.obj["metadata"].get("name", "")), text, causes=(cause,))
