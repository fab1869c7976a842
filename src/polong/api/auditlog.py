"""Who asked for what, and what became of it: a line of JSON for each request that matters, an Event of audit.k8s.io/v1, level Metadata.

That level has no bodies. Commands of exec, which often carry passwords, are left out of the URI as well. Reads are recorded where they
are refused or read a Secret; the node's own work, which does not come over a wire, is not. Source: Kubernetes docs "Auditing".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from polong.api import nodeauthorizer, paths
from polong.api.authorization.authorizer import is_public
from polong.api.paths import Target
from polong.api.podstreams import STREAMS
from polong.api.reviews import user_info
from polong.api.service import User
from polong.kit.tasks import Tasks

Json = dict[str, Any]

_log = logging.getLogger(__name__)

MAX_BYTES = 10 << 20
FILES = 5
QUEUE = 8192
_MAX_URI = 2048
_READS = frozenset({"get", "list", "watch", "head", "options"})
_SECRET = frozenset({"command"})
# Questions about rights, which clients ask all the time, and objects that only tell what has happened.
_DULL = frozenset({("authorization.k8s.io", "selfsubjectaccessreviews"), ("authorization.k8s.io", "selfsubjectrulesreviews")})
_encode = msgspec.json.Encoder().encode


@dataclass
class Entry:
    """One request on its way. `user` asked, as `actor` where he is somebody else; `notes` are the event's annotations."""

    method: str
    path: str
    query: str
    address: str
    agent: str
    received: datetime = field(default_factory=lambda: datetime.now(UTC))
    user: User | None = None
    actor: User | None = None
    notes: dict[str, str] = field(default_factory=dict)
    done: bool = False


class AuditLog:
    """`record` never waits: lines are written by a task, in a thread; what a full queue or disk costs is counted in the node's log."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, files: int = FILES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._lines: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._lost = 0
        self._tasks = Tasks("audit")

    def start(self) -> None:
        _ = self._tasks.start(self._write_all(), "writer")

    async def aclose(self) -> None:
        await self._tasks.aclose()
        await asyncio.to_thread(self._write)

    def record(self, entry: Entry, code: int, stage: str = "ResponseComplete") -> None:
        """Once for each entry."""
        if entry.done or not matters(entry, code):
            return
        entry.done = True
        if len(self._lines) >= QUEUE:
            self._lost += 1
            return
        self._lines.append(_encode(event(entry, code, stage)) + b"\n")
        self._some.set()

    async def _write_all(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        lines = bytearray()
        count = 0
        with contextlib.suppress(IndexError):
            while True:
                lines += self._lines.popleft()
                count += 1
        if not lines:
            return
        try:
            self._append(bytes(lines))
        except OSError as error:
            self._lost += count
            _log.error("%d lines of the audit log are lost: %s", self._lost, error)
        else:
            if self._lost:
                _log.error("%d lines of the audit log were lost", self._lost)
            self._lost = 0

    def _append(self, data: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size + len(data) > self._max_bytes:
                self._rotate()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def _rotate(self) -> None:
        """audit.log becomes audit.log.1, and so on; the oldest goes."""
        for number in range(self._files - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)


def matters(entry: Entry, code: int) -> bool:
    """Whether it is worth a line."""
    target, verb = _asked(entry)
    if entry.user is not None and nodeauthorizer.is_node(entry.user) and code < 400:
        return False
    if target is None:
        return code in (401, 403) and not is_public(entry.path)
    if (target.group, target.resource) in _DULL:
        return False
    if verb not in _READS or target.subresource in STREAMS or code in (401, 403):
        return True
    return not target.group and (target.resource == "secrets" or target.subresource == "proxy")


def _asked(entry: Entry) -> tuple[Target | None, str]:
    target = paths.parse(paths.proxied(entry.path)[0])
    if target is None:
        return None, entry.method.lower()
    return target, paths.verb(entry.method, target, dict(parse_qsl(entry.query))) or entry.method.lower()


def event(entry: Entry, code: int, stage: str) -> Json:
    target, verb = _asked(entry)
    found: Json = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": str(uuid.uuid4()),
        "stage": stage,
        "requestURI": _uri(entry),
        "verb": verb,
        "user": user_info(entry.user) if entry.user else {"username": "system:anonymous", "groups": ["system:unauthenticated"]},
        "sourceIPs": [entry.address],
        "userAgent": entry.agent[:256],
    }
    if entry.actor is not None and entry.actor is not entry.user:
        found["impersonatedUser"] = user_info(entry.actor)
    if target is not None:
        found["objectRef"] = _reference(target)
    found["responseStatus"] = {"metadata": {}, "code": code}
    found["requestReceivedTimestamp"] = _micro(entry.received)
    found["stageTimestamp"] = _micro(datetime.now(UTC))
    if entry.notes:
        found["annotations"] = dict(entry.notes)
    return found


def _uri(entry: Entry) -> str:
    query = [(name, "***" if name in _SECRET else value) for name, value in parse_qsl(entry.query, keep_blank_values=True)]
    whole = entry.path + (f"?{urlencode(query, quote_via=quote, safe='*/=,')}" if query else "")
    return whole[:_MAX_URI]


def _reference(target: Target) -> Mapping[str, str]:
    named = {
        "resource": target.resource,
        "namespace": target.namespace,
        "name": target.name,
        "apiGroup": target.group,
        "apiVersion": target.version,
        "subresource": target.subresource,
    }
    return {name: value for name, value in named.items() if value}


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
