"""Seam S3 inside one process: the kubelet's client calls the API's service, as the node's own user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from polong.api.service import Request, Response, User
from polong.client.inprocess import Handler, InProcessTransport
from polong.client.transport import Call

GROUPS = ("system:nodes", "system:authenticated")


def node_user(node_name: str) -> User:
    """As a kubelet's client certificate names it."""
    return User(f"system:node:{node_name}", GROUPS)


Serve = Callable[[Request], Awaitable[Response]]


def transport(serve: Serve, user: User) -> InProcessTransport:
    """`serve` is `api.app.Service.handle`."""
    return InProcessTransport(_handler(serve, user))


def _handler(serve: Serve, user: User) -> Handler:
    async def handle(call: Call) -> Response:
        headers = {name.lower(): value for name, value in call.headers.items()}
        if call.body is not None:
            headers.setdefault("content-type", call.content_type)
        return await serve(Request(call.method, call.path, call.query, headers, call.body, user))

    return handle
