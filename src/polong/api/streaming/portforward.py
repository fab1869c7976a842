"""pods/portforward: connections to a Pod's ports, until the client leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from polong.api.ports import Node
from polong.kit.stdio import Stdio
from polong.streaming import portforward

Json = dict[str, Any]


async def serve_portforward(request: web.BaseRequest, node: Node, pod: Json, ports: Sequence[int]) -> web.StreamResponse:
    """`ports` (of the query) is for the legacy channels alone. BadRequest (before the upgrade) where no known protocol is asked for."""
    metadata = pod.get("metadata") or {}

    async def connect(port: int, stdio: Stdio) -> None:
        await node.port_forward(pod, port, stdio)

    name = f"pod {metadata.get('name', '')}, uid {metadata.get('uid', '')}"
    return await portforward.serve(request, portforward.Destination(connect, name), ports)
