"""Administration of the image store (`api.ports.Images`): what `polong images` does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import ExitStack, aclosing
from typing import Any

from polong.images import reference as references
from polong.images.catalog import Entry
from polong.images.exporting import export_archive
from polong.images.importing import import_archive
from polong.images.model import RegistryAuth
from polong.images.pull import Progress
from polong.images.service import ImageService
from polong.kit.errors import BadRequest, FailedPrecondition, NotFound

Json = dict[str, Any]


class ImageAdmin:
    """Over the service that the CRI uses, whose `aclose` ends what is under way here too."""

    def __init__(self, service: ImageService) -> None:
        self._service = service
        self._store = service.store

    async def list(self) -> Sequence[Json]:
        return [_described(entry) for entry in sorted(self._store.catalog, key=lambda entry: (entry.tags, entry.id))]

    async def command(self, reference: str) -> tuple[Sequence[str], Sequence[str]] | None:
        image = await self._service.get(reference)
        return None if image is None else (image.config.entrypoint, image.config.cmd)

    async def pull(self, reference: str, *, username: str = "", password: str = "") -> AsyncIterator[Json]:
        auth = RegistryAuth(username=username, password=password) if username else None

        async def work(report: Progress) -> None:
            image = await self._service.pull(reference, auth, progress=report)
            entry = self._store.catalog.find(image.id)
            report({"status": "done", "image": _described(entry) if entry else {"id": image.id}})

        async with aclosing(self._events(work, f"pull {reference[:80]}")) as events:
            async for event in events:
                yield event

    async def import_archive(self, archive: AsyncIterator[bytes]) -> AsyncIterator[Json]:
        async def work(report: Progress) -> None:
            async with aclosing(import_archive(self._store, archive, self._service.architecture, report)) as entries:
                async for entry in entries:
                    report({"status": "done", "image": _described(entry)})

        async with aclosing(self._events(work, "import")) as events:
            async for event in events:
                yield event

    async def _events(self, work: Callable[[Progress], Coroutine[Any, Any, None]], name: str) -> AsyncGenerator[Json, None]:
        """What `work` reports, as it comes; its error at the end. Work whose reader leaves is cancelled."""
        queue: asyncio.Queue[Json | None] = asyncio.Queue()

        async def run() -> Exception | None:
            try:
                await work(queue.put_nowait)
            except Exception as error:
                return error
            finally:
                queue.put_nowait(None)
            return None

        task = self._service.tasks.start(run(), name)
        try:
            while (event := await queue.get()) is not None:
                yield event
            if (error := await task) is not None:
                raise error
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def export_archive(self, references_: Sequence[str]) -> AsyncIterator[bytes]:
        if not references_:
            raise BadRequest("no image named to export")
        wanted = [(self._find(text), text) for text in references_]
        with ExitStack() as stack:
            for entry, _ in wanted:
                stack.enter_context(self._store.holding(entry))
            async for data in export_archive(self._store, [(entry, _names(entry, text)) for entry, text in wanted]):
                yield data

    async def remove(self, reference: str) -> None:
        entry = self._find(reference)
        if str(entry.id) in self._service.in_use() and _last_name(entry, reference):
            raise FailedPrecondition(f"cannot remove image {reference}: a container uses it; delete its Pod first")
        await self._store.forget(reference)

    async def prune(self) -> Sequence[Json]:
        used = self._service.in_use()
        unused = [entry for entry in self._store.catalog if str(entry.id) not in used]
        for entry in unused:
            await self._store.forget(str(entry.id))
        await self._store.collect()
        return [_described(entry) for entry in unused]

    def _find(self, text: str) -> Entry:
        entry = self._store.catalog.find(text)
        if entry is None:
            raise NotFound(f"no image {text!r} on this node")
        return entry


def _described(entry: Entry) -> Json:
    return {
        "id": str(entry.id),
        "repoTags": list(entry.tags),
        "repoDigests": list(entry.digests),
        "size": entry.size,
        "created": entry.configuration.created,
    }


def _names(entry: Entry, text: str) -> list[str]:
    """The name it was asked for by; all of its tags where that was an id."""
    try:
        name = str(references.parse(text))
    except BadRequest:
        name = ""
    return [name] if name in entry.tags else list(entry.tags)


def _last_name(entry: Entry, text: str) -> bool:
    """Whether removing this name removes the image."""
    try:
        name = str(references.parse(text))
    except BadRequest:
        name = ""
    return name not in entry.tags or len(entry.tags) == 1
