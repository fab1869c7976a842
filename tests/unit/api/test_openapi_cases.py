"""Cases that schemathesis makes from our own OpenAPI documents: none is answered with 500, and the documents are valid."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from polong.api.app import Service
from polong.api.service import Request
from polong.store.memory import MemoryStorage

from .conftest import ADMIN, FakeClock
from .test_verbs_fuzz import Target

Json = dict[str, Any]
EXAMPLES = int(os.environ.get("POLONG_FUZZ", "1"))


async def _documents() -> dict[str, Json]:
    service = Service(MemoryStorage(), node_name="n", clock=FakeClock())

    async def get(path: str) -> Json:
        response = await service.handle(Request("GET", path, [], {}, None, ADMIN))
        data = response.body if isinstance(response.body, bytes) else b""
        found: Json = msgspec.json.decode(data)
        return found

    index = await get("/openapi/v3")
    return {name: await get(f"/openapi/v3/{name}") for name in index["paths"]}


DOCUMENTS = asyncio.run(_documents())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_the_documents_offer(name: str) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENTS[name])
    schema.validate()
    with asyncio.Runner() as runner:
        target = Target(runner)

        def send(case: Any) -> None:
            query = [(str(key), str(value)) for key, value in (case.query or {}).items()]
            path = case.path
            for key, value in (case.path_parameters or {}).items():
                path = path.replace("{" + key + "}", quote(str(value), safe=""))
            body = None if isinstance(case.body, schemathesis.core.NotSet) else json.dumps(case.body).encode()
            target.send(case.method, path, body, case.media_type or "application/json", [*query, ("timeoutSeconds", "0")])

        for found in schema.get_all_operations():
            operation = found.ok()
            test = given(operation.as_strategy())(send)
            settings(
                max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 1, suppress_health_check=list(HealthCheck), database=None
            )(test)()
        target.close()
