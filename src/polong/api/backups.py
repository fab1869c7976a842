"""polong.dev/v1alpha1 statebackups and staterestores: all objects as one file, and back, while everything runs.

A restore is made of ordinary writes: watchers see what changes, revisions go on. What the node itself keeps writing stays as it is:
its Node object, Leases, Events.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from polong.api import status
from polong.api.paths import is_true
from polong.api.service import Request, Response
from polong.kit.errors import AlreadyExists, BadRequest, Conflict, NotFound, TooLarge, Unavailable
from polong.store import backup
from polong.store.backup import Backup
from polong.store.interface import KeyValue, Storage

Json = dict[str, Any]

RESOURCES = frozenset({"statebackups", "staterestores"})
MAX_BYTES = 2 * 1024**3
_CHUNK = 256 * 1024
_ATTEMPTS = 10
_KEPT = ("/nodes/", "/leases/", "/events/")
_API = frozenset(f"/{part}/default/kubernetes" for part in ("endpoints", "endpointslices", "services"))


def streams_body(method: str, path: str) -> bool:
    return method == "POST" and path.rstrip("/").endswith("/polong.dev/v1alpha1/staterestores")


async def handle(request: Request, resource: str, query: Mapping[str, str], storage: Storage, node_name: str) -> Response:
    if resource == "statebackups" and request.method == "GET":
        return Response(200, headers={"Content-Type": "application/vnd.sqlite3"}, chunks=_file(storage))
    if resource == "staterestores" and request.method == "POST":
        given = await _received(request)
        plan = await _plan(storage, given, node_name)
        if not is_true(query.get("dryRun", "")) and query.get("dryRun") != "All":
            await plan.execute(storage)
        return Response(200, plan.report(await storage.revision()))
    raise status.method_not_allowed()


async def _file(storage: Storage) -> AsyncIterator[bytes]:
    page = await storage.list("")
    with tempfile.TemporaryDirectory(prefix="polong-backup-") as folder:
        path = Path(folder) / "backup"
        try:
            await asyncio.to_thread(backup.write, path, Backup(page.items, page.revision))
            with path.open("rb") as stream:
                while chunk := await asyncio.to_thread(stream.read, _CHUNK):
                    yield chunk
        except OSError as error:
            raise Unavailable(f"cannot back up: {error}") from None


async def _received(request: Request) -> Backup:
    with tempfile.TemporaryDirectory(prefix="polong-restore-") as folder:
        path = Path(folder) / "backup"
        size = 0
        try:
            with path.open("wb") as stream:
                async for chunk in _pieces(request):
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise TooLarge(f"Request entity too large: limit is {MAX_BYTES}")
                    await asyncio.to_thread(stream.write, chunk)
        except OSError as error:
            raise Unavailable(f"cannot restore: {error}") from None
        return await asyncio.to_thread(backup.read, path)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    if isinstance(request.body, AsyncIterator):
        async for chunk in request.body:
            yield chunk
    elif isinstance(request.body, bytes):
        yield request.body
    else:
        raise BadRequest("cannot restore: the body must be a backup")


@dataclass
class _Plan:
    """What has to be written, by key; counted by what is done."""

    wanted: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """uid and value."""
    unwanted: list[str] = field(default_factory=list)
    unchanged: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0

    def report(self, revision: int) -> Json:
        counted = {name: getattr(self, name) for name in ("created", "updated", "deleted", "unchanged")}
        return {"kind": "StateRestore", "apiVersion": "polong.dev/v1alpha1", "metadata": {"resourceVersion": str(revision)}, **counted}

    async def execute(self, storage: Storage) -> None:
        """Writes of others may come between: what they hold up is tried again."""
        self.created = self.updated = self.deleted = 0
        for key in self.unwanted:
            await _again(lambda key=key: self._delete(storage, key))  # type: ignore[misc]
        for key in sorted(self.wanted, key=lambda key: not key.startswith("/namespaces/")):
            await _again(lambda key=key: self._write(storage, key))  # type: ignore[misc]

    async def _delete(self, storage: Storage, key: str) -> None:
        try:
            await storage.delete(key)
        except NotFound:
            return
        self.deleted += 1

    async def _write(self, storage: Storage, key: str) -> None:
        uid, value = self.wanted[key]
        found = await storage.get(key)
        if found is not None and _uid(found.value) == uid:
            await storage.update(key, value, found.revision)
            self.updated += 1
            return
        if found is not None:
            # Another object of the same name: watchers must see the one go and the other come.
            await storage.delete(key, found.revision)
            self.deleted += 1
        await storage.create(key, value)
        self.created += 1


async def _again(step: Callable[[], Awaitable[None]]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            return await step()
        except (Conflict, NotFound, AlreadyExists) as error:
            if attempt == _ATTEMPTS - 1:
                raise Unavailable(f"cannot restore: others keep writing ({error.message}); what was restored stays, run it again") from None


async def _plan(storage: Storage, given: Backup, node_name: str) -> _Plan:
    """BadRequest where the backup holds what is no object; nothing is written then."""
    plan = _Plan()
    now = {item.key: item for item in (await storage.list("")).items}
    for item in given.items:
        if _is_kept(item.key):
            continue
        uid, value = _checked(item, node_name)
        before = now.get(item.key)
        if before is not None and before.value == value:
            plan.unchanged += 1
            continue
        plan.wanted[item.key] = (uid, value)
        if before is None:
            plan.created += 1
        else:
            plan.updated += 1
    there = {item.key for item in given.items}
    plan.unwanted = [key for key in now if key not in there and not _is_kept(key)]
    plan.deleted = len(plan.unwanted)
    return plan


def _is_kept(key: str) -> bool:
    """What belongs to this node, whatever a backup says: how Pods find its API is a part of it."""
    return key.startswith(_KEPT) or key in _API


def _checked(item: KeyValue, node_name: str) -> tuple[str, bytes]:
    """uid and value, a Pod bound to this node."""
    try:
        obj = msgspec.json.decode(item.value)
        metadata = obj["metadata"]
        where = item.key.split("/")[2:]
        if where != [part for part in (metadata.get("namespace", ""), metadata["name"]) if part]:
            raise BadRequest(f"cannot restore: {item.key} holds an object of another name")
        if obj["kind"] == "Pod" and obj["spec"].get("nodeName", node_name) != node_name:
            obj["spec"]["nodeName"] = node_name
            return str(metadata["uid"]), msgspec.json.encode(obj)
        return str(metadata["uid"]), item.value
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise BadRequest(f"cannot restore: {item.key} is no object") from None


def _uid(value: bytes) -> str:
    found: Json = msgspec.json.decode(value)
    return str(found["metadata"].get("uid", ""))
