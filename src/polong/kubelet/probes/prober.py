"""Runs the probes of all Pods of a node: `polong.kubelet.health.Probes`.

A startup probe gates the two others. Liveness and startup stop at the failure that restarts the container: its next instance has its
own. Nothing flaps when the daemon starts again: an instance that was reported started or ready stays so until a probe says otherwise.

Source: kubelet prober/prober_manager.go, prober/worker.go, prober/prober.go.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import PolongError
from polong.kit.tasks import Tasks
from polong.kubelet.events import Recorder
from polong.kubelet.handlers import grpc, tcp
from polong.kubelet.handlers.exec import Exec
from polong.kubelet.handlers.http import Http, request
from polong.kubelet.handlers.target import Answer, Result, Target, port_number, static_command
from polong.kubelet.health import Failure, Health, unprobed
from polong.kubelet.identity import ID_SCHEME
from polong.kubelet.observation import Container, Observation
from polong.kubelet.probes.spec import Kind, Probe, probes_of
from polong.kubelet.probes.tally import Tally
from polong.objects import pod as pods

Json = dict[str, Any]

# What cannot be asked (the runtime has no time, a process cannot be made) is asked again at once before it counts as unknown.
_TRIES = 3


@dataclass
class _Instance:
    """A running container and what its probes found so far. `offset`: at most that part of a period passes before the first probe."""

    pod: Json
    container: Json
    id: str
    ip: str
    started: datetime
    changed: Callable[[], None]
    tasks: Tasks
    health: Health
    offset: float = 0.0
    loops: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def learn(self, health: Health) -> None:
        if health != self.health:
            self.health = health
            self.changed()


class Prober:
    def __init__(self, exec_: Exec, http: Http, recorder: Recorder, clock: Clock, host_ips: tuple[str, ...]) -> None:
        self._exec = exec_
        self._http = http
        self._recorder = recorder
        self._clock = clock
        self._host_ips = host_ips
        self._born = clock.now()
        self._pods: dict[str, dict[str, _Instance]] = {}
        self._tasks = Tasks("probes")

    # --- health.Probes ---------------------------------------------------------------------------------------------------------

    def watch(self, pod: Json, seen: Observation, changed: Callable[[], None], *, ending: bool) -> Mapping[str, Health]:
        held = self._pods.setdefault(pods.uid(pod), {})
        running = {each.id: each for each in seen.containers if each.state == "running"}
        for gone in held.keys() - running.keys():
            self._stop(held.pop(gone))
        for container_id, each in running.items():
            container = pods.find_container(pod, each.name)
            if container is None or not (wanted := probes_of(container)):
                continue
            instance = held.get(container_id)
            if instance is None:
                instance = held[container_id] = self._instance(pod, container, each, changed)
            instance.pod, instance.changed, instance.ip = pod, changed, self._ip(pod, seen)
            if ending:
                self._settle(instance)
            self._run(instance, wanted, ending=ending)
        if not held:
            del self._pods[pods.uid(pod)]
        return {each.id: each.health for each in held.values()}

    def forget(self, uid: str) -> None:
        for each in self._pods.pop(uid, {}).values():
            self._stop(each)

    async def aclose(self) -> None:
        for uid in list(self._pods):
            self.forget(uid)
        await self._tasks.aclose()
        await self._http.aclose()

    # --- instances -------------------------------------------------------------------------------------------------------------

    def _instance(self, pod: Json, container: Json, seen: Container, changed: Callable[[], None]) -> _Instance:
        started = seen.started or self._clock.now()
        health, offset = unprobed(container), 0.0
        if started < self._born:
            # Taken over from an earlier run of the daemon, perhaps with hundreds of others: not all at once.
            health, offset = _reported(pod, seen, health), 1.0
        tasks = Tasks(f"probes of {pods.namespace(pod)}/{pods.name(pod)}/{seen.name}")
        return _Instance(pod, container, seen.id, "", started, changed, tasks, health, offset)

    def _ip(self, pod: Json, seen: Observation) -> str:
        sandbox = seen.sandbox()
        known = self._host_ips if pods.host_network(pod) or sandbox is None else sandbox.ips
        return known[0] if known else ""

    def _stop(self, instance: _Instance) -> None:
        _ = self._tasks.start(instance.tasks.aclose(), f"end of {instance.id[:12]}")

    def _settle(self, instance: _Instance) -> None:
        """The Pod is ending: nothing is restarted for its liveness any more, and its failures are no news."""
        for kind in ("startup", "liveness"):
            if kind in instance.loops:
                instance.loops[kind].cancel()
        instance.health = replace(instance.health, failed=None)

    def _run(self, instance: _Instance, wanted: Mapping[Kind, Probe], *, ending: bool) -> None:
        """Start what is due and does not run yet."""
        due: tuple[Kind, ...]
        if "startup" in wanted and not instance.health.started:
            due = () if ending else ("startup",)
        else:
            due = ("readiness",) if ending else ("liveness", "readiness")
        for kind in due:
            probe = wanted.get(kind)
            if probe is not None and kind not in instance.loops:
                instance.loops[kind] = instance.tasks.start(self._loop(instance, probe), kind)

    # --- probing ---------------------------------------------------------------------------------------------------------------

    async def _loop(self, instance: _Instance, probe: Probe) -> None:
        """Until its question is settled for good (startup, a failed liveness), or cancelled."""
        clock, tally = self._clock, Tally(probe.successes, probe.failures)
        age = (clock.now() - instance.started).total_seconds()
        # The random part spreads load; nothing secret.
        wait = max(probe.delay - age, 0.0) + instance.offset * random.random() * probe.period
        if wait > 0:
            await clock.sleep(wait)
        due = clock.monotonic()
        while True:
            success = await self._ask(instance, probe)
            settled = None if success is None else tally.count(success)
            if settled is not None and self._settled(instance, probe, settled):
                return
            due = max(due + probe.period, clock.monotonic())
            await clock.sleep(due - clock.monotonic())

    def _settled(self, instance: _Instance, probe: Probe, success: bool) -> bool:
        """Tell it; True where there is no more to be asked."""
        health = instance.health
        if probe.kind == "readiness":
            instance.learn(replace(health, ready=success))
            return False
        if not success:
            instance.learn(replace(health, failed=Failure(probe.kind, probe.grace)))
            return True
        if probe.kind == "liveness":
            return False
        wanted = probes_of(instance.container)
        instance.offset = 0.0
        instance.learn(replace(health, started=True, ready="readiness" not in wanted))
        self._run(instance, wanted, ending=False)
        return True

    async def _ask(self, instance: _Instance, probe: Probe) -> bool | None:
        """Whether it succeeded; None where it could not be asked."""
        answer = Answer(Result.UNKNOWN)
        for _ in range(_TRIES):
            answer = await self._answer(instance, probe)
            if answer.result is not Result.UNKNOWN:
                break
        kind = probe.kind.capitalize()
        match answer.result:
            case Result.SUCCESS:
                return True
            case Result.WARNING:
                self._event(instance, "ProbeWarning", f"{kind} probe warning: {answer.output}")
                return True
            case Result.FAILURE:
                self._event(instance, "Unhealthy", f"{kind} probe failed: {answer.output}")
                return False
            case Result.UNKNOWN:
                self._event(instance, "Unhealthy", f"{kind} probe errored and resulted in unknown state: {answer.output}")
                return None

    async def _answer(self, instance: _Instance, probe: Probe) -> Answer:
        action, target = probe.action, Target(instance.container, instance.id, instance.ip)
        try:
            if given := action.get("exec"):
                command = static_command(instance.container, given.get("command") or [])
                return await self._exec.probe(instance.id, command, probe.timeout)
            if given := action.get("httpGet"):
                return await self._http.probe(request(given, target, "probe"), probe.timeout)
            if given := action.get("tcpSocket"):
                return await tcp.probe(given.get("host") or target.ip, port_number(target, given["port"]), probe.timeout)
            if given := action.get("grpc"):
                return await grpc.probe(target.ip, port_number(target, given["port"]), given.get("service") or "", probe.timeout)
        except (PolongError, ValueError) as error:
            return Answer(Result.UNKNOWN, str(error))
        return Answer(Result.UNKNOWN, "missing probe handler")

    def _event(self, instance: _Instance, reason: str, message: str) -> None:
        self._recorder.pod(instance.pod, reason, message, warning=True, container=instance.container["name"])


def _reported(pod: Json, seen: Container, otherwise: Health) -> Health:
    """What the API holds of this very instance."""
    entry = pods.container_status(pod, seen.name)
    if entry is None or entry.get("containerID") != ID_SCHEME + seen.id:
        return otherwise
    return replace(otherwise, started=otherwise.started or bool(entry.get("started")), ready=otherwise.ready or bool(entry.get("ready")))
