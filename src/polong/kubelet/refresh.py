"""Keeping the files of running Pods true: whatever they show changed, one pass over the Pod's volumes follows, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import PolongError
from polong.kit.tasks import Tasks
from polong.kubelet.events import Recorder
from polong.kubelet.identity import label
from polong.kubelet.reload import Reloader
from polong.kubelet.volumes import Volumes, payload
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_AGAIN = 60.0


@dataclass
class _Kept:
    """One Pod; `dirty` while something it shows has changed and no pass began since."""

    pod: Json
    dirty: bool = False
    task: asyncio.Task[None] | None = None
    alarm: asyncio.Task[None] | None = None


class Refresher:
    def __init__(self, volumes: Volumes, reloader: Reloader, recorder: Recorder, clock: Clock) -> None:
        self._volumes = volumes
        self._reloader = reloader
        self._recorder = recorder
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._tasks = Tasks("volumes")

    async def aclose(self) -> None:
        await self._tasks.aclose()
        await self._reloader.aclose()

    def follow(self, pod: Json) -> None:
        """The Pod is there, or changed: a pass follows where it shows something of itself."""
        if not any(payload.source_of(each) for each in pods.spec(pod).get("volumes") or ()):
            return
        kept = self._kept.get(pods.uid(pod))
        if kept is None:
            self._kept[pods.uid(pod)] = kept = _Kept(pod)
        elif _shown(pod) == _shown(kept.pod):
            kept.pod = pod
            return
        kept.pod = pod
        self._wake(kept)

    def wake(self, uid: str) -> None:
        """An object that it refers to changed. Returns at once; many calls make few passes."""
        kept = self._kept.get(uid)
        if kept is not None:
            self._wake(kept)

    def _wake(self, kept: _Kept) -> None:
        kept.dirty = True
        if kept.task is None or kept.task.done():
            kept.task = self._tasks.start(self._run(kept), f"Pod {label(kept.pod)}")

    def forget(self, uid: str) -> None:
        """The Pod ends: what its files say does not matter any more. Idempotent."""
        kept = self._kept.pop(uid, None)
        if kept is not None:
            for task in (kept.task, kept.alarm):
                if task is not None:
                    task.cancel()
        self._reloader.forget(uid)

    async def _run(self, kept: _Kept) -> None:
        while kept.dirty:
            kept.dirty = False
            pod = kept.pod
            try:
                found = await self._volumes.refresh(pod)
            except (PolongError, OSError) as error:
                _log.warning("Pod %s: cannot refresh its volumes: %s", label(pod), error)
                self._later(kept, _AGAIN)
                continue
            for text in found.problems:
                self._recorder.pod(pod, "FailedMount", text, warning=True)
            if found.changed:
                self._reloader.changed(pod, found.changed)
            due = min((each for each in (found.due, _AGAIN if found.problems else None) if each is not None), default=None)
            if due is not None:
                self._later(kept, due)

    def _later(self, kept: _Kept, seconds: float) -> None:
        if kept.alarm is not None:
            kept.alarm.cancel()
        kept.alarm = self._tasks.start(self._alarm(kept, seconds), f"alarm of Pod {label(kept.pod)}")

    async def _alarm(self, kept: _Kept, seconds: float) -> None:
        await self._clock.sleep(seconds)
        kept.alarm = None
        self._wake(kept)


def _shown(pod: Json) -> tuple[Any, ...]:
    """What the downward API tells of, as far as it can change."""
    metadata = pod["metadata"]
    return metadata.get("labels"), metadata.get("annotations"), [each.get("resources") for _, _, each in pods.all_containers(pod)]
