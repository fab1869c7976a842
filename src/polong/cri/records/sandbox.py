"""What is known of a sandbox. Facts only: whether it is ready follows from them."""

from __future__ import annotations

import msgspec

from polong.criapi.wire import v1


class SandboxRecord(msgspec.Struct, kw_only=True):
    """`config` is CRI's PodSandboxConfig, serialized; times are nanoseconds since the epoch, 0 for "not yet";
    `userns` is where the Pod's user namespace is pinned, "" for the host's;
    `pid_start` is field 22 of /proc/<pid>/stat, which with `boot_id` tells a process from a later one of the same number."""

    id: str
    config: bytes
    handler: str = ""
    boot_id: str = ""
    cgroup_parent: str = ""
    created_at: int = 0
    died_at: int = 0
    stopped_at: int = 0
    pid: int = 0
    pid_start: int = 0
    netns: str = ""
    userns: str = ""
    ips: list[str] = []
    network_detached: bool = False
    message: str = ""


def state(record: SandboxRecord) -> v1.PodSandboxState.ValueType:
    """READY from the moment it is wholly made until it is stopped or its /pause is gone."""
    ready = record.created_at != 0 and not record.died_at and not record.stopped_at
    return v1.SANDBOX_READY if ready else v1.SANDBOX_NOTREADY
