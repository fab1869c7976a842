"""One request as it is on the wire: any Accept, headers and text of the answer; and a watch as lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.conformance.cluster import Cluster

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    code: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.text)
        return found


def ask(
    cluster: Cluster, method: str, path: str, body: Any = None, *, accept: str = "application/json", media: str = "application/json",
    headers: dict[str, str] | None = None, **query: Any,
) -> Answer:  # fmt: skip
    given = {"Accept": accept, "Content-Type": media, **(headers or {})}
    sent = cluster.api.param_serialize(method, path, query_params=list(query.items()), header_params=given, body=body)
    answer = cluster.api.call_api(*sent, _request_timeout=120)
    data = answer.read()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders().items()}, data.decode())


@contextmanager
def watching(cluster: Cluster, path: str, *, accept: str = "application/json", **query: Any) -> Iterator[Iterator[Json]]:
    """Events of a watch, as they come; ends with the answer, which timeoutSeconds bounds."""
    given = {"watch": "true", "timeoutSeconds": 30, **query}
    sent = cluster.api.param_serialize("GET", path, query_params=list(given.items()), header_params={"Accept": accept})
    answer = cluster.api.call_api(*sent, _request_timeout=60)
    response = answer.response

    def events() -> Iterator[Json]:
        rest = b""
        for chunk in response.stream(64 * 1024):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line)

    try:
        assert answer.status == 200, answer.status
        yield events()
    finally:
        response.close()
        response.release_conn()
