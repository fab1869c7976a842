"""What a worker remembers of its Pod between plans, and how it comes to know it: when instances ended and what they said, back-offs,
failed tries. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from polong.kit.clock import Clock
from polong.kubelet import backoff
from polong.kubelet.backoff import Backoff
from polong.kubelet.containerstatus import NO_TARGET, Problem, known_restarts
from polong.kubelet.decisions import Kill, Memory, Start, Verdict
from polong.kubelet.health import Health
from polong.kubelet.observation import Container, Observation
from polong.kubelet.resize import Grant
from polong.kubelet.restarts import backoff_key
from polong.objects import pod as pods

Json = dict[str, Any]

_SHORTEST, _LONGEST = 1.0, 30.0


@dataclass
class Recall:
    """`notes` are termination messages by container id, `problems` by container name why a start failed."""

    clock: Clock
    notes: dict[str, str] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    health: Mapping[str, Health] = field(default_factory=dict)
    verdict: Verdict | None = None
    _backoffs: dict[str, Backoff] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)
    _retries: dict[str, float] = field(default_factory=dict)
    _announced: dict[str, float] = field(default_factory=dict)
    _requested: set[str] = field(default_factory=set)
    _replaced: set[str] = field(default_factory=set)
    resize_error: str = ""
    _resize_retry: float = 0.0
    _resize_failures: int = 0
    _sandbox_retry: float = 0.0
    _sandbox_failures: int = 0
    _adopted: bool = False

    # --- learning --------------------------------------------------------------------------------------------------------------

    def observe(self, pod: Json, seen: Observation) -> Sequence[Container]:
        """Take it in; those that were seen for the first time after their end, so that their messages are read once."""
        fresh = [each for each in seen.containers if each.state == "exited" and each.id not in self._ended]
        for each in fresh:
            age = (self.clock.now() - each.finished).total_seconds() if each.finished else 0.0
            self._ended[each.id] = self.clock.monotonic() - max(age, 0.0)
        for _, _, container in pods.all_containers(pod):
            latest = seen.latest(container["name"])
            if latest is None:
                continue
            if latest.state == "running":
                self.problems.pop(latest.name, None)
            if latest.attempt and not self._adopted:
                # The daemon forgets its back-off when it stops; a crash loop must not become faster by that.
                born = self.clock.monotonic() - max((self.clock.now() - latest.created).total_seconds(), 0.0)
                self._backoffs[backoff_key(container)] = Backoff(backoff.after(latest.attempt), born)
        self._adopted = True
        self._find_targets(pod, seen)
        self._forget(seen)
        return fresh

    def _find_targets(self, pod: Json, seen: Observation) -> None:
        """A debugger that waited for its target waits no longer than that."""
        for container in pods.ephemeral_containers(pod):
            problem = self.problems.get(container["name"])
            if problem is not None and problem.message.startswith(NO_TARGET) and seen.latest(container.get("targetContainerName", "")):
                self._retries.pop(container["name"], None)

    def _forget(self, seen: Observation) -> None:
        held = {each.id for each in seen.containers}
        for container_id in self._ended.keys() - held:
            self._ended.pop(container_id, None)
            self.notes.pop(container_id, None)
        self._requested &= held
        self._replaced &= held

    def request(self, container: str, container_id: str) -> None:
        """Somebody wants that instance replaced: without back-off, and none for it later."""
        self._requested.add(container_id)
        self._retries.pop(container, None)

    def reconsider(self) -> None:
        """The Pod, or something that it refers to, changed: what could not be configured, or not be mounted, is tried again at once."""
        for name, problem in self.problems.items():
            if problem.reason == "CreateContainerConfigError":
                self._retries.pop(name, None)
        self._sandbox_retry = self._resize_retry = 0.0

    def killed(self, kill: Kill) -> None:
        if kill.replace:
            self._replaced.add(kill.id)

    # --- tries -----------------------------------------------------------------------------------------------------------------

    def sandbox_failed(self) -> None:
        delay = min(_SHORTEST * 2**self._sandbox_failures, _LONGEST)
        self._sandbox_failures += 1
        self._sandbox_retry = self.clock.monotonic() + delay

    def sandbox_made(self) -> None:
        self._sandbox_failures = 0
        self._retries.clear()

    def resize_failed(self, message: str) -> bool:
        """Whether that is news."""
        fresh, self.resize_error = message != self.resize_error, message
        self._resize_retry = self.clock.monotonic() + min(_SHORTEST * 2**self._resize_failures, _LONGEST)
        self._resize_failures += 1
        return fresh

    def resized(self) -> None:
        self.resize_error, self._resize_failures, self._resize_retry = "", 0, 0.0

    def starting(self, pod: Json, seen: Observation, start: Start) -> None:
        """A restart is one step of the back-off, unless it was asked for."""
        container = pods.find_container(pod, start.name)
        latest = seen.latest(start.name)
        if start.restart and container is not None and latest is not None and latest.id not in self._requested:
            now = self.clock.monotonic()
            self._step(container, self._ended.get(latest.id, now))

    def _step(self, container: Json, failure: float) -> float:
        key = backoff_key(container)
        self._backoffs[key] = backoff.step(self._backoffs.get(key), failure, self.clock.monotonic())
        return self._backoffs[key].delay

    def tried(self, container: Json, problem: Problem | None, retry: float | None) -> None:
        """How a start went; `retry` seconds until the next try, None: the back-off decides."""
        name = container["name"]
        if problem is None:
            self.problems.pop(name, None)
            self._retries.pop(name, None)
            return
        self.problems[name] = problem
        now = self.clock.monotonic()
        self._retries[name] = now + (self._step(container, now) if retry is None else retry)

    def announce(self, name: str, until: float) -> bool:
        """Whether that back-off has not been told yet."""
        fresh = self._announced.get(name) != until
        self._announced[name] = until
        return fresh

    # --- remembering -----------------------------------------------------------------------------------------------------------

    def memory(self, pod: Json, seen: Observation, grant: Grant, *, ending: bool, over: bool) -> Memory:
        """For the next plan; `pod["status"]` is what was last reported."""
        return Memory(
            backoffs=self._backoffs,
            ended=self._ended,
            retries=self._retries,
            refused=frozenset(name for name, problem in self.problems.items() if problem.final),
            restarts=known_restarts(pod, seen),
            replaced=frozenset(self._replaced),
            requested=frozenset(self._requested),
            actuated=grant.actuated,
            limits=grant.limits,
            resize_retry=self._resize_retry,
            health=self.health,
            sandbox_retry=self._sandbox_retry,
            deadline=self._deadline(pod),
            verdict=self.verdict,
            ending=ending,
            over=over,
        )

    def _deadline(self, pod: Json) -> float | None:
        seconds = pods.spec(pod).get("activeDeadlineSeconds")
        started = pods.status(pod).get("startTime")
        if seconds is None or not started:
            return None
        since: datetime = datetime.strptime(started, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return self.clock.monotonic() + float(seconds) - (self.clock.now() - since).total_seconds()
