"""The Service over a store in memory: requests in, answers out, no wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from polong.api.app import Service
from polong.api.service import MASTERS, Request, Response, User
from polong.api.status import failure
from polong.kit.clock import Clock
from polong.kit.errors import PolongError
from polong.store.memory import MemoryStorage

Json = dict[str, Any]

ADMIN = User("admin", (MASTERS,))


@dataclass
class FakeClock:
    at: datetime = field(default_factory=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.Event().wait()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


_clock: type[Clock] = FakeClock


@dataclass
class Api:
    service: Service
    clock: FakeClock
    storage: MemoryStorage

    async def respond(
        self,
        method: str,
        path: str,
        /,
        body: Any = None,
        *,
        user: User | None = ADMIN,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Response:
        if isinstance(body, list):
            body = msgspec.json.encode(body)
        return await self.service.handle(Request(method, path, list(query.items()), headers or {}, body, user))

    async def __call__(self, method: str, path: str, /, body: Any = None, **more: Any) -> tuple[int, Json]:
        """(code, document); an error as the Status that it is on a wire."""
        try:
            response = await self.respond(method, path, body, **more)
        except PolongError as error:
            document = failure(error)
            return document["code"], document
        body = response.body
        return response.status, msgspec.json.decode(body) if isinstance(body, bytes) else body or {}

    async def create(self, pod: Json, namespace: str = "default") -> Json:
        code, made = await self("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
        assert code == 201, made
        return made


def pod(name: str = "p", **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec},
    }


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    storage, clock = MemoryStorage(), FakeClock()
    service = Service(storage, node_name="n1", clock=clock)
    await service.start()
    try:
        yield Api(service, clock, storage)
    finally:
        await service.aclose()
        await storage.aclose()
