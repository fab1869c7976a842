"""exec and attach: a Pod's streams over WebSocket channels (v5, else v4), between the caller's `Stdio` and the server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Sequence

from polong.client.rest import Client
from polong.client.socket import WebSocket, connect
from polong.kit import errors
from polong.kit.stdio import Reader, Stdio, TerminalSize, Writer
from polong.kit.tasks import Tasks
from polong.objects.gvk import PODS
from polong.remotecommand import channels
from polong.remotecommand.channels import Subprotocol

# In the order that they are offered.
_PROTOCOLS = (channels.V5, channels.V4)
_CHUNK = 32 * 1024


async def execute(client: Client, pod: str, namespace: str, command: Sequence[str], stdio: Stdio, *, container: str = "") -> int:
    """Run `command` in a container; its exit code. The streams that `stdio` has are asked for.

    NotFound, BadRequest, Forbidden as the server refuses; Internal where the command could not be run; Unavailable where the
    connection breaks. Outputs are closed at the end; stdin's end half-closes (v5).
    """
    query = [*_streams(stdio, container), *(("command", word) for word in command)]
    return await _run(client, PODS.path(namespace, pod, "exec"), query, stdio)


async def attach(client: Client, pod: str, namespace: str, stdio: Stdio, *, container: str = "") -> int:
    """Take part in a container's main process until it ends (or the server says so). 0, or its exit code where the server tells."""
    return await _run(client, PODS.path(namespace, pod, "attach"), _streams(stdio, container), stdio)


def _streams(stdio: Stdio, container: str) -> list[tuple[str, str]]:
    wanted = (
        ("stdin", stdio.stdin is not None),
        ("stdout", stdio.stdout is not None),
        ("stderr", stdio.stderr is not None and not stdio.tty),
        ("tty", stdio.tty),
    )
    return [*([("container", container)] if container else []), *((name, "true") for name, want in wanted if want)]


async def _run(client: Client, path: str, query: Sequence[tuple[str, str]], stdio: Stdio) -> int:
    socket = await connect(client, path, query, [protocol.name for protocol in _PROTOCOLS])
    protocol = next((one for one in _PROTOCOLS if one.name == socket.protocol), channels.V4)
    tasks = Tasks("session")
    try:
        if stdio.stdin is not None:
            _stdin = tasks.start(_guard(_send_stdin(socket, protocol, stdio.stdin)), "stdin")
        if stdio.resize is not None:
            _resize = tasks.start(_guard(_send_resizes(socket, protocol, stdio.resize)), "resize")
        return await _receive(socket, protocol, stdio)
    finally:
        await tasks.aclose()
        await socket.aclose()
        for output in (stdio.stdout, stdio.stderr):
            if output is not None:
                await output.close()


async def _guard(sending: Awaitable[None]) -> None:
    """A server that stops listening is no failure: what it still says tells the outcome."""
    with contextlib.suppress(BrokenPipeError):
        await sending


async def _send_stdin(socket: WebSocket, protocol: Subprotocol, stdin: Reader) -> None:
    while data := await stdin.read():
        for at in range(0, len(data), _CHUNK):
            await socket.send(channels.encode(protocol, channels.STDIN, data[at : at + _CHUNK]))
    if protocol.close:
        await socket.send(channels.encode_close(channels.STDIN))


async def _send_resizes(socket: WebSocket, protocol: Subprotocol, sizes: AsyncIterator[TerminalSize]) -> None:
    async for size in sizes:
        await socket.send(channels.encode(protocol, channels.RESIZE, channels.encode_resize(size.width, size.height)))


async def _receive(socket: WebSocket, protocol: Subprotocol, stdio: Stdio) -> int:
    outputs: dict[int, Writer | None] = {channels.STDOUT: stdio.stdout, channels.STDERR: stdio.stderr}
    code: int | None = None
    while (message := await socket.receive()) is not None:
        if not message:
            continue
        channel, data = channels.decode(protocol, message)
        if channel == channels.ERROR and data:
            code = _exit_code(data)
        elif data and (output := outputs.get(channel)) is not None:
            await output.write(data)
    if code is None:
        raise errors.Unavailable("the session broke off: the server closed it without telling how it ended")
    return code


def _exit_code(data: bytes) -> int:
    try:
        status = json.loads(data)
    except (ValueError, RecursionError):
        raise errors.Internal(data.decode("utf-8", "replace").strip()[:1024] or "the session failed") from None
    code = channels.exit_code(status) if isinstance(status, dict) else None
    if code is None:
        message = status.get("message") if isinstance(status, dict) else None
        raise errors.Internal(str(message or "the session failed"))
    return code
