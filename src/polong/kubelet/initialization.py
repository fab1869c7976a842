"""How far the init containers of a Pod are in its sandbox, and which one has its turn. Pure.

One after the other, each to its end; a side-car (an init container with restartPolicy Always) only has to have started. What ran in an
earlier sandbox does not count; once a later container was made in this one, an init container has had its turn and is never run again.

Source: kubelet computeInitContainerActions; KEP-753.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polong.kubelet import restarts
from polong.kubelet.decisions import Memory
from polong.kubelet.health import health_of
from polong.kubelet.observation import Container, Observation
from polong.objects import pod as pods

Json = dict[str, Any]


@dataclass(frozen=True)
class Initialization:
    """`attended` are the init containers that are to run now: the one whose turn it is and the side-cars before it. `done`: regular
    containers may start. `failed`: an init container failed for good, and the Pod with it."""

    attended: tuple[Json, ...] = ()
    done: bool = False
    failed: bool = False


def initialization(pod: Json, seen: Observation, memory: Memory, sandbox_id: str) -> Initialization:
    inits = pods.init_containers(pod)
    passed = _passed(pod, inits, seen, sandbox_id)
    attended: list[Json] = []
    for place, container in enumerate(inits):
        latest = seen.latest(container["name"])
        here = latest if latest is not None and latest.sandbox_id == sandbox_id else None
        if pods.is_sidecar(container):
            attended.append(container)
            if place >= passed and not _has_started(container, here, memory):
                return Initialization(tuple(attended))
        elif place >= passed and not (here is not None and here.state == "exited" and here.exit_code == 0):
            if not restarts.wanted(pod, container, here, memory):
                return Initialization(failed=True)
            return Initialization((*attended, container))
    return Initialization(tuple(attended), done=True)


def _passed(pod: Json, inits: Sequence[Json], seen: Observation, sandbox_id: str) -> int:
    """How many have had their turn, by what was made after them in this sandbox."""
    made = {each.name for each in seen.containers if each.sandbox_id == sandbox_id}
    if any(each["name"] in made for each in pods.containers(pod)):
        return len(inits)
    return max((place for place, each in enumerate(inits) if each["name"] in made), default=0)


def _has_started(container: Json, here: Container | None, memory: Memory) -> bool:
    return here is not None and here.state == "running" and health_of(container, here.id, memory.health).started
