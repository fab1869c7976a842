"""Lifecycle hooks: postStart after a container's start, preStop before its end.

A preStop runs once for an instance: whoever ends the container again meanwhile (a shorter grace, a deletion on top of a failed probe)
waits for the one that runs. It is cut when its grace is over or the container has ended by itself.

Source: docs "Container Lifecycle Hooks"; kubelet lifecycle/handlers.go, kuberuntime executePreStopHook; KEP-3960 (sleep).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp

from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import FailedPrecondition, PolongError
from polong.kit.tasks import Tasks
from polong.kubelet.events import Recorder
from polong.kubelet.handlers.exec import Exec
from polong.kubelet.handlers.http import Http, TooManyRedirects, Unencrypted, plain, request
from polong.kubelet.handlers.target import Target
from polong.kubelet.identity import label
from polong.kubelet.ports import RuntimeService
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_FAILURES = (PolongError, OSError, TimeoutError, aiohttp.ClientError, TooManyRedirects, Unencrypted, ValueError)
# How often a container is looked at whose hook still runs: one that has ended needs no hook.
_LOOK = 0.25


class Hooks:
    def __init__(self, runtime: RuntimeService, exec_: Exec, http: Http, recorder: Recorder, clock: Clock) -> None:
        self._runtime = runtime
        self._exec = exec_
        self._http = http
        self._recorder = recorder
        self._clock = clock
        self._starting: dict[str, dict[asyncio.Task[Exception | None], str]] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks("hooks")

    async def post_start(self, pod: Json, target: Target) -> None:
        """Returns when it is done, or no longer wanted: the container ended by itself, or `interrupt` was called. FailedPrecondition
        (reason PostStartHookError) where it failed: the container is to be killed."""
        hook = (target.container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        held = self._starting.setdefault(pods.uid(pod), {})
        task = self._tasks.start(self._while_running(target.id, partial(self._run, pod, target, hook)), f"postStart of {target.id[:12]}")
        held[task] = target.id
        try:
            await asyncio.wait((task,))
            error = None if task.cancelled() else task.result()
        finally:
            task.cancel()
            held.pop(task, None)
            if not held:
                self._starting.pop(pods.uid(pod), None)
        if error is not None:
            self._failed(pod, target, "PostStart", error)
            raise FailedPrecondition(f"PostStartHook failed: {_line(error)}", reason="PostStartHookError") from error

    def starting(self, uid: str) -> frozenset[str]:
        """The ids of that Pod's containers whose postStart hook runs."""
        return frozenset(self._starting.get(uid, {}).values())

    def interrupt(self, uid: str) -> None:
        """Cut the postStart hooks of that Pod."""
        for task in self._starting.get(uid, ()):
            task.cancel()

    async def pre_stop(self, pod: Json, target: Target, grace: float) -> float:
        """Seconds of `grace` that it took. Never fails: what went wrong is an Event. Cancelling the caller leaves the hook running."""
        hook = (target.container.get("lifecycle") or {}).get("preStop")
        if not hook or grace <= 0:
            return 0.0
        task = self._stopping.get(target.id)
        if task is None:
            task = self._stopping[target.id] = self._tasks.start(self._pre_stop(pod, target, hook), target.id[:12])
        if task.done():
            return 0.0
        begun = self._clock.monotonic()
        alarm = self._tasks.start(self._clock.sleep(grace), "grace")
        try:
            await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
        if not task.done():
            _log.info("preStop hook of %s in %s did not end within its grace of %g s", target.container["name"], label(pod), grace)
            task.cancel()
        return self._clock.monotonic() - begun

    def forget(self, container_id: str) -> None:
        """The container is no more."""
        if (task := self._stopping.pop(container_id, None)) is not None:
            task.cancel()

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _pre_stop(self, pod: Json, target: Target, hook: Json) -> None:
        error = await self._while_running(target.id, partial(self._run, pod, target, hook))
        if error is not None:
            self._failed(pod, target, "PreStop", error)

    async def _while_running(self, container_id: str, hook: Callable[[], Awaitable[None]]) -> Exception | None:
        """The hook's failure, None where it succeeded or the container ended before it."""
        over = self._tasks.start(self._over(container_id), "end of container")
        run = self._tasks.start(_outcome(hook), "hook")
        try:
            await asyncio.wait((over, run), return_when=asyncio.FIRST_COMPLETED)
            return run.result() if run.done() else None
        finally:
            over.cancel()
            run.cancel()
            await asyncio.gather(over, run, return_exceptions=True)

    async def _over(self, container_id: str) -> None:
        """Returns when the container runs no more."""
        while True:
            await self._clock.sleep(_LOOK)
            try:
                answer = await self._runtime.container_status(v1.ContainerStatusRequest(container_id=container_id))
            except PolongError:
                return
            if answer.status.state != v1.CONTAINER_RUNNING:
                return

    def _failed(self, pod: Json, target: Target, which: str, error: Exception) -> None:
        """What the hook said may hold secrets: it goes to the node's log only in one line, never into an Event."""
        name = target.container["name"]
        _log.info("%s hook of container %s in Pod %s failed: %s", which, name, label(pod), _line(error))
        self._recorder.pod(pod, f"Failed{which}Hook", f"{which}Hook failed", warning=True, container=name)

    async def _run(self, pod: Json, target: Target, hook: Json) -> None:
        if given := hook.get("exec"):
            code, output = await self._exec.run(target.id, given.get("command") or [], "hook")
            if code:
                raise FailedPrecondition(f"command terminated with exit code {code}: {output[:200]}")
        elif given := hook.get("httpGet"):
            await self._get(pod, target, given)
        elif (given := hook.get("sleep")) is not None:
            await self._clock.sleep(max(int(given.get("seconds") or 0), 0))
        else:
            # tcpSocket is in the API for old manifests only: Kubernetes, too, lets such a hook fail when it is to run.
            raise FailedPrecondition(f"invalid handler: {', '.join(hook) or 'none'}")

    async def _get(self, pod: Json, target: Target, action: Json) -> None:
        """Any answer will do, whatever its status."""
        wanted = request(action, target, "lifecycle")
        try:
            await self._http.get(wanted, None)
        except Unencrypted:
            await self._http.get(plain(wanted), None)
            text = f"request to HTTPS lifecycle hook {wanted.url.host} got HTTP response, retry with HTTP succeeded"
            self._recorder.pod(pod, "LifecycleHTTPFallback", text, warning=True, container=target.container["name"])


async def _outcome(hook: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await hook()
    except _FAILURES as error:
        return error
    return None


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:500]
