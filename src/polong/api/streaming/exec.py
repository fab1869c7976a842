"""pods/exec: a command's streams, then its exit code as a Status."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from polong.api.podstreams import StreamTarget
from polong.api.ports import Node
from polong.api.streaming.remote import serve
from polong.kit.stdio import Stdio
from polong.remotecommand.channels import exit_status

Json = dict[str, Any]


async def serve_exec(request: web.BaseRequest, node: Node, target: StreamTarget) -> web.StreamResponse:
    """Run target.command. BadRequest (before the upgrade) where the request asks for no known protocol."""

    async def run(stdio: Stdio) -> Json:
        return exit_status(await node.exec(target.pod, target.container, target.command, stdio))

    return await serve(request, target, run)
