"""Container logs do not grow without end: one over its limit is put aside under a name with the time, older ones are compressed, the
oldest go. Logs of instances that the runtime no longer holds go as well.

Source: kubelet logs/container_log_manager.go (containerLogMaxSize, containerLogMaxFiles).
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import NotFound, PolongError
from polong.kubelet import containers
from polong.kubelet.config import KubeletConfig
from polong.kubelet.ports import RuntimeService

_log = logging.getLogger(__name__)
_GZ, _UNFINISHED = ".gz", ".tmp"


@dataclass(frozen=True)
class Rotation:
    """What is to be done beside one log, by file name: first `remove`, then `compress`; then the log itself is put aside."""

    remove: tuple[str, ...]
    compress: tuple[str, ...]


def rotation(name: str, others: Iterable[str], most: int) -> Rotation:
    """For a log that is over its limit, so that `most` files are left once it has been put aside and begun anew (never fewer than two).
    The newest of those put aside stays as it is: a writer may still hold it. Pure."""
    aside = sorted(each for each in others if each.startswith(f"{name}.") and not each.endswith(_UNFINISHED))
    unfinished = [each for each in others if each.startswith(f"{name}.") and each.endswith(_UNFINISHED)]
    plain = {each for each in aside if not each.endswith(_GZ)}
    # A compression that was done and not tidied up after: the plain file is still the whole truth.
    doubled = [each for each in aside if each.endswith(_GZ) and each.removesuffix(_GZ) in plain]
    kept = [each for each in aside if each not in doubled]
    surplus = kept[: max(len(kept) - max(most - 2, 0), 0)]
    left = [each for each in kept if each not in surplus]
    return Rotation(tuple(unfinished + doubled + surplus), tuple(each for each in left if each in plain))


def stale(names: Iterable[str], held: Sequence[int]) -> list[str]:
    """Logs of instances older than all that the runtime still holds. Pure; `held` are attempts, and nothing is stale without any."""
    found = []
    for name in names:
        attempt = name.partition(".")[0]
        if held and attempt.isascii() and attempt.isdigit() and int(attempt) < min(held):
            found.append(name)
    return sorted(found)


class LogRotation:
    def __init__(self, config: KubeletConfig, runtime: RuntimeService, clock: Clock) -> None:
        self._config = config
        self._runtime = runtime
        self._clock = clock

    async def run(self) -> None:
        """Forever."""
        while True:
            await self._clock.sleep(self._config.log_period)
            try:
                await self.rotate()
            except (PolongError, OSError) as error:
                _log.warning("cannot look after the logs of containers: %s", error)

    async def rotate(self) -> None:
        """Once, all containers that the runtime holds."""
        listed = await self._runtime.list_containers(v1.ListContainersRequest())
        held: dict[Path, list[v1.Container]] = {}
        for each in listed.containers:
            held.setdefault(self._directory(each), []).append(each)
        for directory, instances in held.items():
            attempts = [each.metadata.attempt for each in instances]
            for name in stale(_names(directory), attempts):
                (directory / name).unlink(missing_ok=True)
            for each in instances:
                if each.state == v1.ContainerState.CONTAINER_RUNNING:
                    await self._look(directory, each)

    def _directory(self, container: v1.Container) -> Path:
        words = container.labels
        pod = "_".join(words.get(name, "") for name in (containers.POD_NAMESPACE, containers.POD_NAME, containers.POD_UID))
        return self._config.log_dir / pod / words.get(containers.CONTAINER_NAME, "")

    async def _look(self, directory: Path, container: v1.Container) -> None:
        log = directory / f"{container.metadata.attempt}.log"
        try:
            if log.lstat().st_size <= self._config.log_size:
                return
        except FileNotFoundError:
            # An earlier rotation was interrupted between its two steps.
            await self._reopen(container.id)
            return
        wanted = rotation(log.name, _names(directory), self._config.log_files)
        for name in wanted.remove:
            (directory / name).unlink(missing_ok=True)
        for name in wanted.compress:
            await asyncio.to_thread(_compress, directory / name)
        await self._put_aside(log, container.id)

    async def _put_aside(self, log: Path, container_id: str) -> None:
        aside = log.with_name(f"{log.name}.{_stamp(self._clock.now())}")
        log.rename(aside)
        try:
            await self._reopen(container_id)
        except PolongError:
            aside.rename(log)
            raise

    async def _reopen(self, container_id: str) -> None:
        with suppress(NotFound):
            await self._runtime.reopen_container_log(v1.ReopenContainerLogRequest(container_id=container_id))


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%d-%H%M%S")


def _names(directory: Path) -> list[str]:
    try:
        return [each.name for each in os.scandir(directory) if each.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _compress(path: Path) -> None:
    unfinished = path.with_name(f"{path.name}{_UNFINISHED}")
    with path.open("rb") as source, gzip.open(unfinished, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    unfinished.rename(path.with_name(f"{path.name}{_GZ}"))
    path.unlink()
