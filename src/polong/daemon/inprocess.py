"""Seam S3 inside one process: the kubelet's client calls the API's service, as the node's own user."""

from __future__ import annotations

from polong.api.service import Request, Response, User
from polong.client.inprocess import Handler, InProcessTransport
from polong.client.transport import Call

GROUPS = ("system:nodes", "system:authenticated")


def node_user(node_name: str) -> User:
    """As a kubelet's client certificate names it."""
    return User(f"system:node:{node_name}", GROUPS)


class _Service:
    """What is asked of `api.app.Service`."""

    async def handle(self, request: Request) -> Response:
        raise NotImplementedError


def transport(service: _Service, user: User) -> InProcessTransport:
    return InProcessTransport(handler(service, user))


def handler(service: _Service, user: User) -> Handler:
    async def handle(call: Call) -> Response:
        headers = {name.lower(): value for name, value in call.headers.items()}
        if call.body is not None:
            headers.setdefault("content-type", call.content_type)
        return await service.handle(Request(call.method, call.path, call.query, headers, call.body, user))

    return handle
