"""The few calls that the benchmark makes to a Kubernetes API, over TLS with the kubeconfig's client certificate; standard library only.

Nothing of Polong's own client is used, so what is measured is what any client gets.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode, urlsplit

import yaml


class KubeApi:
    """One kept connection for requests; a watch and an exec have one each."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile(suffix=".pem") as pem:
            pem.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            pem.flush()
            self._context.load_cert_chain(pem.name)
        address = urlsplit(cluster["server"])
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 443
        self._kept = self._connection()

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, context=self._context, timeout=60)

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The decoded answer; RuntimeError for 400 and above, but a 404 is returned as its Status."""
        payload = None if body is None else json.dumps(body)
        try:
            answer = self._answer(method, path, payload)
        except (OSError, http.client.HTTPException):  # closed by the server while it lay idle
            self._kept.close()
            self._kept = self._connection()
            answer = self._answer(method, path, payload)
        decoded: dict[str, Any] = json.loads(answer.read())
        if answer.status >= 400 and answer.status != 404:
            raise RuntimeError(f"{method} {path}: {answer.status} {decoded.get('message')}")
        return decoded

    def _answer(self, method: str, path: str, payload: str | None) -> http.client.HTTPResponse:
        self._kept.request(method, path, payload, {"Content-Type": "application/json", "Accept": "application/json"})
        return self._kept.getresponse()

    def watch(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Events as they come. The request is sent, and its headers are read, before this returns."""
        connection = self._connection()
        connection.request("GET", f"{path}?{urlencode({'watch': 'true', **query})}", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"watch {path}: {answer.status} {answer.read()[:300]!r}")
        return self._events(connection, answer)

    @staticmethod
    def _events(connection: http.client.HTTPSConnection, answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        try:
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def execute(self, path: str, command: list[str], container: str) -> int:
        """Run `command` over a WebSocket of its own (v5.channel.k8s.io) and return its exit code."""
        connection = self._connection()
        try:
            query = [("command", word) for word in command] + [("container", container), ("stdout", "true"), ("stderr", "true")]
            connection.request(
                "GET",
                f"{path}/exec?{urlencode(query)}",
                headers={
                    "Connection": "Upgrade",
                    "Upgrade": "websocket",
                    "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
                    "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
                },
            )
            answer = connection.getresponse()
            if answer.status != 101:
                raise RuntimeError(f"exec {path}: {answer.status} {answer.read()[:300]!r}")
            return _exit_code(answer.fp)
        finally:
            connection.close()


def _exit_code(stream: BinaryIO) -> int:
    """Read WebSocket messages until the Status on channel 3."""
    while True:
        opcode, payload = _frame(stream)
        if opcode == 2 and payload[:1] == b"\x03" and len(payload) > 1:
            status = json.loads(payload[1:])
            if status.get("status") == "Success":
                return 0
            causes = status.get("details", {}).get("causes", [])
            codes = [int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"]
            if not codes:
                raise RuntimeError(f"exec failed: {status.get('message')}")
            return codes[0]
        if opcode == 8:
            raise RuntimeError("exec: the server closed the stream without a status")


def _frame(stream: BinaryIO) -> tuple[int, bytes]:
    """One unmasked frame of a server (RFC 6455, section 5.2)."""
    first, second = stream.read(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", stream.read(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", stream.read(8))
    return first & 0x0F, stream.read(length)
