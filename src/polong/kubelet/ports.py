"""What the kubelet asks of others: the API (seam S3), the container runtime (seam S4) and time.

`polong.client` satisfies `Api`, `polong.criapi.ports` names the runtime; the daemon brings them together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from polong.criapi.ports import ImageService, RuntimeService
from polong.kit.clock import Clock
from polong.objects.podreferences import Reference

Json = dict[str, Any]

__all__ = ["Api", "Clock", "ImageService", "Json", "Objects", "RuntimeService"]


class Api(Protocol):
    """The requests that a node makes of an API server, no more. Errors are `kit.errors`; Unavailable is worth another try."""

    def pods(self, node_name: str) -> AsyncIterator[tuple[str, Json]]:
        """Every change of the Pods of one node, without end: ("ADDED" | "MODIFIED" | "DELETED", object), and ("SYNCED", {}) after
        each list. What vanished during a gap is told as DELETED."""
        ...

    async def create_pod(self, pod: Json) -> Json:
        """A mirror of a static Pod. AlreadyExists, Forbidden, NotFound (its namespace)."""
        ...

    async def patch_pod_status(self, namespace: str, name: str, patch: Json) -> Json:
        """JSON merge patch of the status subresource; `patch.metadata.uid` is a precondition. NotFound, Conflict."""
        ...

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete with grace 0 and the uid as precondition. NotFound, Conflict."""
        ...

    def referred(self, namespace: str, reference: Reference) -> AsyncIterator[tuple[str, Json]]:
        """Every change of one object that a Pod of this node refers to, as `pods` tells them. Forbidden where no Pod does."""
        ...

    def services(self) -> AsyncIterator[tuple[str, Json]]:
        """Every change of all Services, as `pods` tells them."""
        ...

    def endpoint_slices(self) -> AsyncIterator[tuple[str, Json]]:
        """Every change of all EndpointSlices."""
        ...

    async def create_token(self, namespace: str, account: str, request: Json) -> Json:
        """POST of a TokenRequest to the token subresource of a ServiceAccount. NotFound, Forbidden, Unsupported."""
        ...

    async def claimed_volumes(self) -> frozenset[str]:
        """The names of the volumes of all PersistentVolumeClaims there are."""
        ...

    async def runtime_handler(self, runtime_class: str) -> str:
        """The handler of a RuntimeClass. NotFound."""
        ...

    async def create_event(self, event: Json) -> Json: ...

    async def patch_event(self, namespace: str, name: str, patch: Json) -> Json: ...

    async def get_node(self, name: str) -> Json: ...

    async def create_node(self, node: Json) -> Json: ...

    async def patch_node(self, name: str, patch: Json, *, status: bool) -> Json:
        """JSON merge patch of the Node, or of its status subresource."""
        ...

    async def create_lease(self, lease: Json) -> Json: ...

    async def patch_lease(self, namespace: str, name: str, patch: Json) -> Json:
        """JSON merge patch. NotFound."""
        ...


class PodWrites(Protocol):
    """Of `Api`, what is written of Pods that run."""

    async def patch_pod_status(self, namespace: str, name: str, patch: Json) -> Json: ...

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None: ...


class Objects(Protocol):
    """What Pods of this node refer to (`references.References`)."""

    async def get(self, namespace: str, reference: Reference) -> Json | None:
        """The newest that is known, None where there is none. Shared: copy before changing. Unavailable where the API does not tell."""
        ...
