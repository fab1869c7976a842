"""What is left of Pods that nobody knows any more: directories, cgroups and logs without an owner.

Containers and sandboxes of unknown Pods are ended by workers of their own (agent); here only files and cgroups are collected, and
only when neither the API nor the runtime holds anything of that UID.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from polong.kit.clock import Clock
from polong.kit.errors import PolongError
from polong.kubelet.host.cgroups import PodCgroups
from polong.kubelet.volumes import Volumes, removal

_log = logging.getLogger(__name__)
_UID = r"[0-9a-fA-F]+(?:-[0-9a-fA-F]+){0,8}"
_LOGS = re.compile(rf"[^_]+_[^_]+_({_UID})", re.ASCII)
_PLAIN = re.compile(_UID, re.ASCII)


class Collector:
    """`known` answers whether a UID belongs to a Pod of the API, of the runtime, or of a worker; `claimed` which volumes have a claim."""

    def __init__(
        self,
        volumes: Volumes,
        cgroups: PodCgroups,
        log_dir: Path,
        known: Callable[[str], bool],
        claimed: Callable[[], Awaitable[frozenset[str]]],
        clock: Clock,
    ) -> None:
        self._claimed = claimed
        self._volumes = volumes
        self._cgroups = cgroups
        self._log_dir = log_dir
        self._known = known
        self._clock = clock

    async def run(self, period: float) -> None:
        """Forever."""
        while True:
            await self._clock.sleep(period)
            await self.collect()

    async def collect(self) -> None:
        """Once. What cannot be removed is logged and stays for the next round."""
        for uid in sorted(self._volumes.held() | self._cgroups.held()):
            if not _PLAIN.fullmatch(uid) or self._known(uid):
                continue
            try:
                await self._cgroups.remove(uid)
                await self._volumes.remove(uid)
            except (PolongError, OSError) as error:
                _log.warning("cannot remove what is left of Pod %s: %s", uid, error)
        for directory in self._log_directories():
            found = _LOGS.fullmatch(directory.name)
            if found is None or self._known(found.group(1)):
                continue
            try:
                await asyncio.to_thread(removal.remove, directory)
            except (PolongError, OSError) as error:
                _log.warning("cannot remove logs %s: %s", directory.name, error)

        await self._collect_claims()

    async def _collect_claims(self) -> None:
        """Directories whose claim is gone: looked at before the claims are asked for, so a new one is never among them."""
        held = self._volumes.claims.held()
        if not held:
            return
        try:
            await asyncio.to_thread(self._volumes.claims.remove, held - await self._claimed())
        except (PolongError, OSError) as error:
            _log.warning("cannot remove volumes of claims that are gone: %s", error)

    def _log_directories(self) -> list[Path]:
        if not self._log_dir.is_dir():
            return []
        return [each for each in self._log_dir.iterdir() if each.is_dir() and not each.is_symlink()]
