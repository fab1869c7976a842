"""Port-forward: one connection to a Pod's port over a WebSocket (v4.channel.k8s.io), which every server since Kubernetes 1.5 speaks."""

from __future__ import annotations

from polong.client.rest import Client
from polong.client.socket import WebSocket, connect
from polong.kit import errors
from polong.kit.stdio import Reader, Stdio
from polong.kit.tasks import Tasks
from polong.objects.gvk import PODS
from polong.remotecommand import channels

_DATA, _ERROR = 0, 1
_CHUNK = 32 * 1024


async def forward(client: Client, pod: str, namespace: str, port: int, stdio: Stdio) -> None:
    """Join `stdio` (stdin to the Pod, stdout from it) with a new connection to `port`, until either side ends.

    Unavailable with the server's words where the port does not answer. The protocol knows no half-close: the end of stdin is not
    told to the Pod, the session goes on until the Pod's side ends or the caller cancels.
    """
    if stdio.stdin is None or stdio.stdout is None:
        raise errors.BadRequest("port-forward needs both directions")
    socket = await connect(client, PODS.path(namespace, pod, "portforward"), [("ports", str(port))], [channels.V4.name])
    tasks = Tasks("port-forward")
    greeted: set[int] = set()
    try:
        _sending = tasks.start(_send(socket, stdio.stdin), "send")
        while (message := await socket.receive()) is not None:
            if not message:
                continue
            channel, data = channels.decode(channels.V4, message)
            if channel not in greeted:  # the first message on each channel repeats the port
                greeted.add(channel)
                data = data[2:]
            if channel == _ERROR and data:
                raise errors.Unavailable(data.decode("utf-8", "replace").strip()[:1024])
            if channel == _DATA and data:
                await stdio.stdout.write(data)
    finally:
        await tasks.aclose()
        await socket.aclose()
        await stdio.stdout.close()


async def _send(socket: WebSocket, source: Reader) -> None:
    try:
        while data := await source.read():
            for at in range(0, len(data), _CHUNK):
                await socket.send(channels.encode(channels.V4, _DATA, data[at : at + _CHUNK]))
    except BrokenPipeError:
        return
