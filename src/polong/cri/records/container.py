"""What is known of a container. Facts only: created, running or exited follows from them."""

from __future__ import annotations

import msgspec

from polong.criapi.wire import v1

UNKNOWN_EXIT_CODE = 255


class ContainerRecord(msgspec.Struct, kw_only=True):
    """`config` is CRI's ContainerConfig, serialized; times are nanoseconds since the epoch, 0 for "not yet"; `*_start` is field 22
    of /proc/<pid>/stat. `stop_signal` is a number. `own_pid_namespace`: the kernel ends everything with the main process.
    `starting`: the runtime was told to start it, and whether it did was not yet noted. `refused`: why the OCI runtime would not make its
    process; StartContainer tells it (decision 0010)."""

    id: str
    sandbox_id: str
    config: bytes
    handler: str = ""
    boot_id: str = ""
    image_id: str = ""
    image_ref: str = ""
    cgroup: str = ""
    log_path: str = ""
    uid: int = 0
    gid: int = 0
    groups: list[int] = []
    stop_signal: int = 15
    own_pid_namespace: bool = True
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    pid: int = 0
    pid_start: int = 0
    conmon_pid: int = 0
    conmon_start: int = 0
    starting: bool = False
    refused: str = ""


def state(record: ContainerRecord) -> v1.ContainerState.ValueType:
    """Unknown until it is wholly created, which no client ever sees."""
    if record.finished_at:
        return v1.CONTAINER_EXITED
    if record.started_at:
        return v1.CONTAINER_RUNNING
    return v1.CONTAINER_CREATED if record.created_at else v1.CONTAINER_UNKNOWN


def exit_reason(exit_code: int, *, oom_killed: bool) -> str:
    """Kubernetes' word for the end of a main process whose exit code is certain."""
    if oom_killed:
        return "OOMKilled"
    return "Completed" if exit_code == 0 else "Error"
