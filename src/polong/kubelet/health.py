"""What probes say of a running container, and who says it. Pure.

The plan kills what has failed and starts the container after a side-car only when that one has started; the status shows `started`
and `ready`. A container without probes is started and ready as soon as it runs.

Source: kubelet prober/results, prober_manager UpdatePodStatus; docs "Liveness, Readiness, and Startup Probes".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from polong.kubelet.observation import Observation

Json = dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """The probe that failed failureThreshold times in a row; `grace` is its own terminationGracePeriodSeconds, None for the Pod's."""

    probe: Literal["liveness", "startup"]
    grace: int | None = None


@dataclass(frozen=True)
class Health:
    """Of one instance: its startup probe has succeeded (or there is none), its readiness probe does."""

    started: bool = True
    ready: bool = True
    failed: Failure | None = None


def unprobed(container: Json) -> Health:
    """What holds until the first result: a startup probe must first succeed, and so must a readiness probe."""
    started = not container.get("startupProbe")
    return Health(started, started and not container.get("readinessProbe"))


def health_of(container: Json, container_id: str, known: Mapping[str, Health]) -> Health:
    """`known` by container id."""
    found = known.get(container_id)
    return unprobed(container) if found is None else found


class Probes(Protocol):
    """Runs the probes of Pods. Neither method waits for anything."""

    def watch(self, pod: Json, seen: Observation, changed: Callable[[], None], *, ending: bool) -> Mapping[str, Health]:
        """Called before each plan: probe from now on what runs, no longer what does not, and say what is known, by container id.
        `changed` is called whenever that answer has changed since. `ending`: only readiness is still asked for."""
        ...

    def forget(self, uid: str) -> None:
        """The Pod is gone, or nobody looks after it any more."""
        ...


class NoProbes:
    """For a kubelet that runs none."""

    def watch(self, pod: Json, seen: Observation, changed: Callable[[], None], *, ending: bool) -> Mapping[str, Health]:
        return {}

    def forget(self, uid: str) -> None:
        return
