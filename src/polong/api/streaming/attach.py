"""pods/attach: the streams of a container's main process, until it ends or the client leaves."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from polong.api.ports import Node
from polong.kit.stdio import Stdio
from polong.remotecommand.channels import success
from polong.streaming.remote import serve
from polong.streaming.wanted import Wanted

Json = dict[str, Any]


async def serve_attach(request: web.BaseRequest, node: Node, pod: Json, container: str, wanted: Wanted) -> web.StreamResponse:
    """As serve_exec; ends with Success, for attach knows no exit code."""

    async def run(stdio: Stdio) -> Json:
        await node.attach(pod, container, stdio)
        return success()

    return await serve(request, wanted, run)
