"""One error, one Status: what the API's door raises is told the same over HTTPS and in process."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.contract.test_transports import certificates

from polong.api.app import Service
from polong.api.http import Server
from polong.api.service import Request, Response
from polong.client import Call, Client
from polong.client.http import HTTPTransport
from polong.daemon import inprocess
from polong.kit import errors

CAUSES = (errors.Cause("FieldValueRequired", "Required value", "spec.containers"),)

RAISED: dict[str, tuple[BaseException, int, str, type[errors.PolongError]]] = {
    "badrequest": (errors.BadRequest("no"), 400, "BadRequest", errors.BadRequest),
    "unauthorized": (errors.Unauthorized("no"), 401, "Unauthorized", errors.Unauthorized),
    "forbidden": (errors.Forbidden("no"), 403, "Forbidden", errors.Forbidden),
    "notfound": (errors.NotFound("no", details={"name": "x", "kind": "pods"}), 404, "NotFound", errors.NotFound),
    "exists": (errors.AlreadyExists("no"), 409, "AlreadyExists", errors.AlreadyExists),
    "conflict": (errors.Conflict("no"), 409, "Conflict", errors.Conflict),
    "precondition": (errors.FailedPrecondition("no"), 409, "Conflict", errors.Conflict),
    "gone": (errors.Gone("no"), 410, "Expired", errors.Gone),
    "large": (errors.TooLarge("no"), 413, "RequestEntityTooLarge", errors.TooLarge),
    "invalid": (errors.Invalid("no", causes=CAUSES), 422, "Invalid", errors.Invalid),
    "unsupported": (errors.Unsupported("no"), 501, "NotImplemented", errors.Unsupported),
    "method": (errors.Unsupported("no", reason="MethodNotAllowed"), 405, "MethodNotAllowed", errors.Unsupported),
    "media": (errors.Unsupported("no", reason="UnsupportedMediaType"), 415, "UnsupportedMediaType", errors.Unsupported),
    "accept": (errors.Unsupported("no", reason="NotAcceptable"), 406, "NotAcceptable", errors.Unsupported),
    "busy": (errors.Unavailable("no", reason="TooManyRequests"), 429, "TooManyRequests", errors.Unavailable),
    "unavailable": (errors.Unavailable("no"), 503, "ServiceUnavailable", errors.Unavailable),
    "deadline": (errors.DeadlineExceeded("no"), 504, "Timeout", errors.DeadlineExceeded),
    "timeout": (TimeoutError(), 504, "Timeout", errors.DeadlineExceeded),
    "internal": (errors.Internal("no"), 500, "InternalError", errors.Internal),
    "fault": (ZeroDivisionError("a fault of ours"), 500, "InternalError", errors.Internal),
    "reason": (errors.Unavailable("no", reason="ErrImagePull"), 503, "ServiceUnavailable", errors.Unavailable),
}


class Raising:
    """An API whose every answer is the error that the path names."""

    def streams_body(self, method: str, path: str) -> bool:
        return False

    async def handle(self, request: Request) -> Response:
        raise RAISED[request.path.rpartition("/")[2]][0]


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[dict[str, Client]]:
    service = Raising()
    _, tls = certificates(tmp_path)
    server = Server(cast("Service", service))
    port = await server.start(
        "127.0.0.1", 0, certificate=tmp_path / "server.crt", key=tmp_path / "server.key", client_ca=tmp_path / "ca.crt"
    )
    over_http = Client(HTTPTransport(f"https://127.0.0.1:{port}", tls=tls, connect_timeout=5, timeout=5))
    yield {"http": over_http, "inprocess": Client(inprocess.transport(service.handle, inprocess.node_user("n")))}
    await over_http.aclose()
    await server.stop()


async def told(client: Client, name: str) -> tuple[int, dict[str, Any]]:
    async with asyncio.timeout(10):
        answer = await client.transport.call(Call("GET", f"/{name}"))
        async with answer:
            return answer.status, json.loads(await answer.data())


@pytest.mark.parametrize("name", RAISED)
async def test_an_error_is_told_the_same_over_both(clients: dict[str, Client], name: str):
    _, code, reason, kind = RAISED[name]
    status, document = await told(clients["http"], name)
    assert (status, document) == await told(clients["inprocess"], name)
    assert (status, document["code"], document["reason"], document["kind"]) == (code, code, reason, "Status")
    for client in clients.values():
        with pytest.raises(kind) as caught:
            await client.raw(Call("GET", f"/{name}"))
        assert type(caught.value) is kind
        assert (caught.value.message, caught.value.reason) == (document["message"], reason)


async def test_causes_and_details_cross_both(clients: dict[str, Client]):
    for client in clients.values():
        with pytest.raises(errors.Invalid) as invalid:
            await client.raw(Call("GET", "/invalid"))
        assert invalid.value.causes == CAUSES
        assert (await told(client, "notfound"))[1]["details"] == {"name": "x", "kind": "pods"}


async def test_a_fault_tells_nothing_of_its_inside(clients: dict[str, Client]):
    for client in clients.values():
        assert "a fault of ours" not in json.dumps((await told(client, "fault"))[1])
