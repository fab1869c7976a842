"""Somebody else than the administrator: requests with a token of his own, as they are on the wire."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml
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


class Person:
    """Asks with a bearer token; with none, as nobody."""

    def __init__(self, cluster: Cluster, token: str = "") -> None:
        document = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
        self._address = urlsplit(document["server"])
        self._context = ssl.create_default_context(cadata=base64.b64decode(document["certificate-authority-data"]).decode())
        self._token = token

    def ask(self, method: str, path: str, body: Json | None = None, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._token:
            given["Authorization"] = f"Bearer {self._token}"
        connection = http.client.HTTPSConnection(self._address.hostname or "", self._address.port, context=self._context, timeout=60)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **given})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
        finally:
            connection.close()


def token(cluster: Cluster, account: str, **spec: Any) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    made = cluster.request("POST", cluster.path("serviceaccounts", account, "token"), body)
    text: str = made["status"]["token"]
    return text


def account(cluster: Cluster, name: str, **fields: Any) -> None:
    cluster.create("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}, **fields})
