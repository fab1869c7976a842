"""A server that streams, and a node that echoes: for real clients to talk to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from polong.api.podstreams import stream_target
from polong.api.ports import Node
from polong.api.streaming import serve_attach, serve_exec, serve_log_websocket, serve_portforward
from polong.kit import errors
from polong.kit.stdio import Stdio
from polong.objects.podlogs import PodLogOptions
from polong.objects.status import failure

Json = dict[str, Any]

POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "uid": "u1", "resourceVersion": "1"},
    "spec": {
        "nodeName": "n",
        "containers": [
            {"name": "c", "image": "i", "stdin": True, "ports": [{"containerPort": 80}]},
            {"name": "t", "image": "i", "stdin": True, "tty": True},
        ],
    },
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "c",
                "ready": True,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                "image": "i",
                "imageID": "",
                "restartCount": 0,
            },
            {
                "name": "t",
                "ready": True,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                "image": "i",
                "imageID": "",
                "restartCount": 0,
            },
        ],
    },
}


@dataclass
class EchoNode:
    """The command's first word says what to do. `ended` tells how each session ended."""

    ended: list[str] = field(default_factory=list)
    running: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def exec(self, pod: Json, container: str, command: Sequence[str], stdio: Stdio) -> int:
        self.running += 1
        try:
            code = await self._run(list(command), stdio)
            self.ended.append(f"{command[0]} {code}")
            return code
        except BaseException as error:
            self.ended.append(f"{command[0]} {type(error).__name__}")
            raise
        finally:
            self.running -= 1

    async def _run(self, command: list[str], stdio: Stdio) -> int:
        match command:
            case ["exit", code]:
                return int(code)
            case ["both"]:
                await stdio.stdout.write(b"to stdout\n")
                await stdio.stderr.write(b"to stderr\n")
                return 0
            case ["cat"]:
                while data := await stdio.stdin.read():
                    await stdio.stdout.write(data)
                return 0
            case ["count"]:
                total = 0
                while data := await stdio.stdin.read():
                    total += len(data)
                await stdio.stdout.write(b"%d\n" % total)
                return 0
            case ["late"]:  # takes no stdin until released
                await self.release.wait()
                return await self._run(["count"], stdio)
            case ["flood", size]:
                for _ in range(int(size) // 65536):
                    await stdio.stdout.write(b"x" * 65536)
                return 0
            case ["missing"]:
                raise errors.NotFound("cannot run missing: no such file")
            case ["sizes"]:
                async for size in stdio.resize:
                    await stdio.stdout.write(f"size {size.width}x{size.height}\r\n".encode())
                    if size.width == 99:
                        return 3
            case ["hang"]:
                await asyncio.Event().wait()
        return 127

    async def attach(self, pod: Json, container: str, stdio: Stdio) -> None:
        if stdio.stdout is not None:
            await stdio.stdout.write(b"hello from " + container.encode() + b"\r\n")
        if stdio.stdin is None:
            return
        while data := await stdio.stdin.read():
            await stdio.stdout.write(b"<" + data.replace(b"\n", b"").replace(b"\r", b"") + b">\r\n")
            if b"quit" in data:
                return

    async def port_forward(self, pod: Json, port: int, stdio: Stdio) -> None:
        self.running += 1
        try:
            if port == 81:
                raise errors.Unavailable("failed to connect to localhost:81 inside the pod: connection refused")
            if port == 82:
                while data := await stdio.stdin.read():
                    await stdio.stdout.write(data)
                return
            request = b""
            while b"\r\n\r\n" not in request:
                data = await stdio.stdin.read()
                if not data:
                    return
                request += data
            body = b"y" * 300_000
            await stdio.stdout.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        finally:
            self.running -= 1

    async def logs(self, pod: Json, container: str, options: PodLogOptions) -> AsyncIterator[bytes]:
        yield b"first line\n"
        if options.follow:
            await self.release.wait()
        yield b"last line\n"

    async def processes(self, pod: Json, *, full: bool = False) -> Json:
        return {}


_: type[Node] = EchoNode


@dataclass
class Streaming:
    url: str
    node: EchoNode
    port: int
    server: web.Server


class Handler:
    def __init__(self, node: EchoNode) -> None:
        self.node = node

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self.serve(request)
        except errors.PolongError as error:
            status = failure(error)
            return web.json_response(status, status=status["code"])

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        kind = request.path.rpartition("/")[2]
        if kind in ("exec", "attach", "portforward"):
            target = stream_target(kind, POD, list(request.query.items()))
            if kind == "exec":
                return await serve_exec(request, self.node, POD, target.container, target.command, target.wanted)
            if kind == "attach":
                return await serve_attach(request, self.node, POD, target.container, target.wanted)
            return await serve_portforward(request, self.node, POD, target.ports)
        if kind == "log":
            chunks = self.node.logs(POD, "c", PodLogOptions(follow=request.query.get("follow") == "true"))
            if request.headers.get("Upgrade"):
                return await serve_log_websocket(request, chunks)
            response = web.StreamResponse()
            await response.prepare(request)
            async for chunk in chunks:
                await response.write(chunk)
            return response
        if request.path == "/api/v1/namespaces/default/pods/p":
            return web.json_response(POD)
        if request.path == "/version":
            return web.json_response({"major": "1", "minor": "32", "gitVersion": "v1.32.0"})
        if request.path == "/api":
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        if request.path == "/apis":
            return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})
        if request.path == "/api/v1":
            pods = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]}
            return web.json_response({"kind": "APIResourceList", "groupVersion": "v1", "resources": [pods]})
        raise errors.NotFound(f"no path {request.path}")


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
async def streaming() -> AsyncIterator[Streaming]:
    """The server, on a free port; checks at the end that no task, no session and no socket stays."""
    node = EchoNode()
    fds = open_files()
    server = web.Server(Handler(node))
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    yield Streaming(f"http://127.0.0.1:{port}", node, port, server)
    listener.close()
    await server.shutdown(1)
    await listener.wait_closed()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > 1 or open_files() > fds:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert node.running == 0
    assert open_files() <= fds
