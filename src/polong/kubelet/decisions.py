"""What a plan says is to be done for a Pod, and what it is decided from beside the observation. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polong.kubelet.backoff import Backoff, Wait
from polong.kubelet.health import Health
from polong.kubelet.resources import PodLimits

Json = dict[str, Any]


@dataclass(frozen=True)
class CreateSandbox:
    """`changed`: an earlier sandbox of this Pod was lost."""

    attempt: int
    changed: bool = False


@dataclass(frozen=True)
class Start:
    """Pull where needed, create and start. `created` names an instance that was created but never started: it is started as it is."""

    name: str
    attempt: int
    sandbox_id: str
    created: str = ""
    restart: bool = False


@dataclass(frozen=True)
class Kill:
    """preStop hook, stop signal, SIGKILL: within `grace` seconds.

    The signal waits until the instances `after` (ids, killed in the same stage) have ended: side-cars go last, one by one.
    `replace`: another instance is to take its place, whatever the restart policy would make of its exit code.
    """

    id: str
    name: str
    grace: int
    message: str = ""
    after: frozenset[str] = frozenset()
    replace: bool = False


@dataclass(frozen=True)
class Resize:
    """Give the running instances `ids`, and the Pod's own cgroup, the limits of the Pod's allocation: in place."""

    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class StopSandbox:
    id: str


@dataclass(frozen=True)
class RemoveContainer:
    id: str


@dataclass(frozen=True)
class RemoveSandbox:
    id: str


@dataclass(frozen=True)
class Finish:
    """No container of the Pod lives any more: report the last status, stop its sandboxes, remove everything, delete the object."""


Action = CreateSandbox | Start | Kill | Resize | StopSandbox | RemoveContainer | RemoveSandbox | Finish
Stage = tuple[Action, ...]


@dataclass(frozen=True)
class Verdict:
    """The whole Pod has failed, whatever its containers did: status.reason and status.message. `grace` in place of the Pod's own;
    `disruption`: the node ended it for reasons of its own, which the condition DisruptionTarget tells."""

    reason: str
    message: str
    grace: int | None = None
    disruption: bool = False


DEADLINE_EXCEEDED = Verdict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


@dataclass(frozen=True)
class Memory:
    """What the worker remembers between plans. All times are monotonic seconds.

    `backoffs` by container name and spec hash, `ended` by container id, `retries` by container name (not before, after a failed
    start), `refused` the containers whose only start failed, `restarts` the restart counts of containers that the runtime has no record
    of any more; `replaced` the ids of instances that were killed so that another takes their place, `requested` of those that somebody
    wants replaced now, back-off or not; `actuated` what instances got, by id, and `limits` what the Pod's cgroup got, `resize_retry` when
    to try again where that failed; `health` what probes say, by container id; `deadline` when activeDeadlineSeconds are over, `verdict`
    why else the Pod has failed; `ending` that the Pod is to go; `over` that its phase is terminal.
    """

    backoffs: Mapping[str, Backoff] = field(default_factory=dict)
    ended: Mapping[str, float] = field(default_factory=dict)
    retries: Mapping[str, float] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    restarts: Mapping[str, int] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    requested: frozenset[str] = frozenset()
    actuated: Mapping[str, Json] = field(default_factory=dict)
    limits: PodLimits | None = None
    resize_retry: float = 0.0
    health: Mapping[str, Health] = field(default_factory=dict)
    sandbox_retry: float = 0.0
    deadline: float | None = None
    verdict: Verdict | None = None
    ending: bool = False
    over: bool = False


@dataclass(frozen=True)
class Plan:
    """`wake` is when to plan again without any event; `over`: the Pod has come to its end and nothing of it will be started again,
    by `verdict` where it is not its containers' own; `resizing` that running containers have not what the Pod was given."""

    stages: tuple[Stage, ...] = ()
    waits: Mapping[str, Wait] = field(default_factory=dict)
    wake: float | None = None
    over: bool = False
    verdict: Verdict | None = None
    resizing: bool = False
