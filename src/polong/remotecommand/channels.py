"""The WebSocket subprotocols: one message a piece, its first byte the channel.

    v5.channel.k8s.io          binary; 255 + channel closes a direction; errors are a Status
    v4.channel.k8s.io          binary; errors are a Status
    channel.k8s.io, ""         binary; errors are plain text
    v4.base64.channel.k8s.io   text: the channel as a digit, then base64; errors are a Status
    base64.channel.k8s.io      text likewise; errors are plain text

Kubernetes KEP-4006; k8s.io/apimachinery pkg/util/remotecommand and httpstream/wsstream.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255

# A message larger than this breaks the session; kubectl sends 32 KiB at most.
MAX_MESSAGE = 1024 * 1024
MAX_DIMENSION = 65535


class ChannelError(Exception):
    """The other side broke the subprotocol."""


@dataclass(frozen=True)
class Subprotocol:
    """`name` as negotiated. `text`: messages are base64 text. `status`: the error channel carries a Status. `close`: 255 is known."""

    name: str
    text: bool = False
    status: bool = True
    close: bool = False


V5 = Subprotocol("v5.channel.k8s.io", close=True)
V4 = Subprotocol("v4.channel.k8s.io")
V4_BASE64 = Subprotocol("v4.base64.channel.k8s.io", text=True)
V1 = Subprotocol("channel.k8s.io", status=False)
V1_BASE64 = Subprotocol("base64.channel.k8s.io", text=True, status=False)
NONE = Subprotocol("", status=False)

# In the order of the server's liking.
REMOTE_COMMAND = (V5, V4, V4_BASE64, V1, V1_BASE64)
PORT_FORWARD = (V4, V4_BASE64)
PORT_FORWARD_TUNNEL = "SPDY/3.1+portforward.k8s.io"

LOG_BINARY = "binary.k8s.io"
LOG_BASE64 = "base64.binary.k8s.io"


def select(offered: Sequence[str], known: Sequence[Subprotocol]) -> Subprotocol | None:
    """The server's choice: NONE where the client offers nothing, None where nothing of it is known."""
    if not offered:
        return NONE
    return next((protocol for protocol in known if protocol.name in offered), None)


def encode(protocol: Subprotocol, channel: int, data: bytes) -> bytes:
    """The payload of one message (text where protocol.text)."""
    if protocol.text:
        return b"%d" % channel + base64.b64encode(data)
    return bytes((channel,)) + data


def decode(protocol: Subprotocol, message: bytes) -> tuple[int, bytes]:
    """(channel, data) of one message."""
    if not message:
        raise ChannelError("empty message")
    if not protocol.text:
        return message[0], message[1:]
    try:
        return int(message[:1]), base64.b64decode(message[1:], validate=True)
    except (ValueError, binascii.Error) as error:
        raise ChannelError("message is not a digit and base64") from error


def encode_close(channel: int) -> bytes:
    """v5: no more will come on `channel`."""
    return bytes((CLOSE, channel))


def encode_resize(width: int, height: int) -> bytes:
    return json.dumps({"Width": width, "Height": height}, separators=(",", ":")).encode()


def decode_resize(data: bytes) -> tuple[int, int]:
    """(width, height) of a TerminalSize."""
    try:
        size = json.loads(data)
        width, height = int(size.get("Width", 0)), int(size.get("Height", 0))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ChannelError("terminal size is not {Width, Height}") from error
    if not (0 <= width <= MAX_DIMENSION and 0 <= height <= MAX_DIMENSION):
        raise ChannelError(f"terminal size {width}x{height} is out of range")
    return width, height


def success() -> Json:
    return {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> Json:
    """The Status of a command that ended: Success for 0."""
    if code == 0:
        return success()
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def exit_code(status: Json) -> int | None:
    """The code that an error channel's Status tells; None where it tells a failure of another kind."""
    if status.get("status") == "Success":
        return 0
    if status.get("reason") != "NonZeroExitCode":
        return None
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            try:
                return int(cause.get("message", ""))
            except ValueError:
                return None
    return None
