"""pods/exec: a command's streams, then its exit code as a Status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from polong.api.ports import Node
from polong.kit.stdio import Stdio
from polong.remotecommand.channels import exit_status
from polong.streaming.remote import serve
from polong.streaming.wanted import Wanted

Json = dict[str, Any]


async def serve_exec(
    request: web.BaseRequest, node: Node, pod: Json, container: str, command: Sequence[str], wanted: Wanted
) -> web.StreamResponse:
    """Run `command`. BadRequest (before the upgrade) where the request asks for no known protocol."""

    async def run(stdio: Stdio) -> Json:
        return exit_status(await node.exec(pod, container, command, stdio))

    return await serve(request, wanted, run)
