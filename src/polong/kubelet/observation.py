"""What the runtime was seen to hold for one Pod: sandboxes and containers as plain values, newest first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

State = Literal["created", "running", "exited", "unknown"]


@dataclass(frozen=True)
class Sandbox:
    """`ips` are the Pod's addresses, empty for the host's network."""

    id: str
    attempt: int
    ready: bool
    created: datetime
    ips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Applied:
    """What the kernel was told of one container: CPU shares, quota for each period of 100 ms and bytes of memory; 0 is no limit."""

    shares: int
    quota: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Identity:
    """What a container's first process was started as."""

    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Container:
    """`attempt` is the restart count; `spec_hash` says from which spec it was made. Times are None until they happened. `applied` and
    `user` are None where the runtime does not tell, `stop_signal` (spelt as Pods do) is empty then."""

    id: str
    name: str
    sandbox_id: str
    attempt: int
    state: State
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    image_ref: str = ""
    spec_hash: str = ""
    log_path: str = ""
    applied: Applied | None = None
    user: Identity | None = None
    stop_signal: str = ""

    @property
    def alive(self) -> bool:
        return self.state in ("created", "running", "unknown")


@dataclass(frozen=True)
class Observation:
    """Everything that the runtime holds under one Pod UID."""

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()
    name: str = field(default="", compare=False)
    namespace: str = field(default="", compare=False)

    def sandbox(self) -> Sandbox | None:
        """The newest."""
        return self.sandboxes[0] if self.sandboxes else None

    def ready_sandboxes(self) -> Sequence[Sandbox]:
        return [each for each in self.sandboxes if each.ready]

    def latest(self, name: str) -> Container | None:
        """The newest instance of a container."""
        return next((each for each in self.containers if each.name == name), None)

    def previous(self, name: str) -> Container | None:
        """The instance before the newest."""
        instances = [each for each in self.containers if each.name == name]
        return instances[1] if len(instances) > 1 else None

    def without_hooked(self, starting: frozenset[str]) -> Observation:
        """As users are told of it: a container is not running before its postStart hook has ended (docs "Container Lifecycle Hooks")."""
        hooked = [each.id in starting and each.state == "running" for each in self.containers]
        told = (replace(each, state="created") if hidden else each for each, hidden in zip(self.containers, hooked, strict=True))
        return replace(self, containers=tuple(told)) if any(hooked) else self

    def alive(self) -> Sequence[Container]:
        return [each for each in self.containers if each.alive]


def arrange(sandboxes: Sequence[Sandbox], containers: Sequence[Container], *, name: str = "", namespace: str = "") -> Observation:
    """Newest first, whatever order the runtime listed them in."""
    return Observation(
        tuple(sorted(sandboxes, key=lambda each: (each.attempt, each.created), reverse=True)),
        tuple(sorted(containers, key=lambda each: (each.attempt, each.created), reverse=True)),
        name,
        namespace,
    )
