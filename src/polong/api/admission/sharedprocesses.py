"""SharedProcesses: warns of what a shared process namespace does to a Pod. Refuses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from polong.api.admission.chain import Attempt, Plugin
from polong.api.ports import Images
from polong.kit.errors import PolongError
from polong.objects import pod as pods
from polong.objects import sharing
from polong.objects.gvk import PODS

_LOOKING = 2.0


class SharedProcesses(Plugin):
    """`images` gives the image store, None where there is none (yet)."""

    def __init__(self, images: Callable[[], Images | None]) -> None:
        self._images = images

    async def validate(self, attempt: Attempt) -> None:
        if attempt.creates(PODS) and sharing.shared(attempt.obj):
            attempt.context.warnings.extend(sharing.warnings(attempt.obj, await self._commands(attempt)))

    async def _commands(self, attempt: Attempt) -> dict[str, sharing.Command]:
        """Of the images that are on this machine already; of others the node tells when it has pulled them."""
        images, found = self._images(), {}
        if images is None:
            return {}
        try:
            async with asyncio.timeout(_LOOKING):
                for _, _, container in pods.all_containers(attempt.obj):
                    command = await images.command(str(container.get("image", "")))
                    if command is not None:
                        found[str(container.get("name", ""))] = command
        except (PolongError, TimeoutError):
            pass
        return found
