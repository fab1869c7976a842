"""Carrying out the stages of a plan, and what is learned by it. What takes long can be broken off when the Pod begins to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from polong.kit.errors import PolongError
from polong.kubelet import resize
from polong.kubelet.actions import Actions, every
from polong.kubelet.decisions import Action, CreateSandbox, Kill, RemoveContainer, RemoveSandbox, Resize, Stage, Start, StopSandbox
from polong.kubelet.events import Recorder
from polong.kubelet.observation import Observation
from polong.kubelet.recall import Recall
from polong.objects import pod as pods

Json = dict[str, Any]


class Interrupted(Exception):  # noqa: N818 - it is no error
    """The Pod began to end, or its grace got shorter, while something long was awaited."""


class Interruption:
    """What is awaited inside a window is cancelled, and raises Interrupted, when `now` is called."""

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()

    def now(self) -> None:
        for scope in self._scopes:
            scope.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def window(self) -> AsyncIterator[None]:
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes.add(scope)
                yield
        except TimeoutError as error:
            if scope.expired():
                raise Interrupted from error
            raise
        finally:
            self._scopes.discard(scope)


class Execution:
    def __init__(self, actions: Actions, recorder: Recorder, recall: Recall, interruption: Interruption) -> None:
        self._actions = actions
        self._recorder = recorder
        self._recall = recall
        self._interruption = interruption

    async def stage(self, pod: Json, seen: Observation, stage: Stage) -> None:
        """Everything of one stage, side by side. Raises the first failure when all have come to their end; Interrupted."""
        if starts := [each for each in stage if isinstance(each, Start)]:
            await self._start(pod, seen, starts)
        if kills := [each for each in stage if isinstance(each, Kill)]:
            for each in kills:
                self._recall.killed(each)
            async with self._interruption.window():
                await self._actions.kill(pod, kills, seen)
        for resizing in [each for each in stage if isinstance(each, Resize)]:
            await self._resize(pod, seen, resizing)
        await every(self._act(pod, each) for each in stage if not isinstance(each, Start | Kill | Resize))

    async def _act(self, pod: Json, action: Action) -> None:
        match action:
            case StopSandbox(sandbox_id):
                await self._actions.stop_sandbox(sandbox_id)
            case RemoveContainer(container_id):
                await self._actions.remove_container(container_id)
            case RemoveSandbox(sandbox_id):
                await self._actions.remove_sandbox(sandbox_id)
            case CreateSandbox():
                await self._create_sandbox(pod, action)
            case _:
                raise AssertionError(f"not a stage's: {action}")

    async def _resize(self, pod: Json, seen: Observation, action: Resize) -> None:
        """Where it fails the Pod goes on with what it has: it is said, and tried again."""
        try:
            await self._actions.resizer.carry_out(pod, seen, action)
        except (PolongError, OSError) as error:
            if self._recall.resize_failed(str(error)):
                text = f"Pod resize error: {resize.summary(pod, str(error))}"
                self._recorder.pod(pod, "ResizeError", text, warning=True)
        else:
            self._recall.resized()

    async def _create_sandbox(self, pod: Json, action: CreateSandbox) -> None:
        if action.changed:
            self._recorder.pod(pod, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        try:
            await self._actions.create_sandbox(pod, action.attempt)
        except (PolongError, OSError):
            self._recall.sandbox_failed()
            raise
        self._recall.sandbox_made()

    async def _start(self, pod: Json, seen: Observation, starts: Sequence[Start]) -> None:
        for each in starts:
            self._recall.starting(pod, seen, each)
        outcomes = await self._actions.start(pod, seen, starts, self._interruption.window)
        for name, outcome in outcomes.items():
            container = pods.find_container(pod, name)
            assert container is not None
            self._recall.tried(container, outcome.problem, outcome.retry)
