"""What the API server asks of others: the node behind Pods' subresources, and the administration of images.

The kubelet satisfies `Node`, the image service `Images`, by shape; the daemon brings them together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from polong.kit.stdio import Stdio
from polong.objects.podfiles import FileOptions
from polong.objects.podlogs import PodLogOptions
from polong.objects.podsignal import SignalOptions

Json = dict[str, Any]


class Node(Protocol):
    """The kubelet's door for pods/exec, attach, portforward, log and polong.dev processes. `pod` is the stored object."""

    async def exec(self, pod: Json, container: str, command: Sequence[str], stdio: Stdio) -> int: ...

    async def attach(self, pod: Json, container: str, stdio: Stdio) -> None: ...

    async def port_forward(self, pod: Json, port: int, stdio: Stdio) -> None: ...

    def logs(self, pod: Json, container: str, options: PodLogOptions) -> AsyncIterator[bytes]:
        """Log text in pieces. BadRequest (before the first piece) while the container has not started."""
        ...

    async def processes(self, pod: Json, *, full: bool = False) -> Json:
        """A `ProcessList` of polong.dev/v1alpha1 for the Pod: `items` of

        {container, containerID, role, pid, hostPID, parentPID, parentHostPID, pidNamespace, uid, gid, containerUID,
        containerGID, user, state, cpuSeconds, rssBytes,
        threads, name, command, startTime, startTicks, executed, orphan, zombie}

        and with `full` also {cgroup, pids, groups, capabilities, noNewPrivileges, seccomp, dumpable, userNamespace, pssBytes, swapBytes,
        openFiles}; `vanished` holds {container, hostPID} of those that ended while they were read. `role` is pause, main, child, exec,
        probe, hook or orphan; hostPID and startTicks together name a process for ever.

        `container` is "" for the sandbox's /pause; `pid` is the PID inside the Pod's or container's namespace; `parentHostPID` 0 where the
        parent is not of the Pod; `pidNamespace` groups processes into trees; `user` is the name in that container's /etc/passwd or "";
        `state` is one letter of /proc/PID/stat; `command` a list of arguments ([] for kernel-hidden or zombie: show `name`); `executed`
        came by exec, `orphan` was adopted by /pause (or the container's PID 1)."""
        ...

    async def signal(self, pod: Json, options: SignalOptions, user: str = "") -> Json:
        """A `Signal`: {signal, dryRun, receivers: [{container, containerID, role, pid, hostPID, name, command, user, outcome}]};
        `outcome` is "sent", "would be sent" (dry run), "vanished" or "refused: why". Recorded as Event Signaled."""
        ...

    async def restart(self, pod: Json, container: str, user: str = "") -> Json:
        """A `Restart`: {container, containerID, restartCount} of the instance that is now on its way out. FailedPrecondition where the
        restart policy forbids it, or there is nothing to restart."""
        ...

    async def owner(self, pid: int, cgroup: str = "", *, killed: bool = False) -> Json:
        """A `HostProcess`: {hostPID, name, command, cgroup, ended, pod?: {name, namespace, uid}, container?, containerID?, role?, pid?,
        process?}, without `pod` where it belongs to none of this node. `cgroup` names the place of one that has ended, `killed` says that
        it was, whoever has its number now; its `role` is main, or "" for any other. NotFound."""
        ...


class Inspector(Protocol):
    """The kubelet's door for polong.dev pods/access and pods/files. `pod` is the stored object."""

    async def access(self, pod: Json, source: str = "", target: str = "") -> Json:
        """A `PodAccess`: {yamaPtraceScope, notes, items: [{from, to, process: {pid, hostPID, uid, gid, command}, verdicts}]}, each of the
        verdicts see, signal, environ, root, cwd and ptrace being {allowed, rule, reason, indirect, change}: `change` holds lines of YAML,
        the fewest that would turn the verdict over; `indirect` says how a refused caller could get there after all. Ids are as the Pod
        counts. Callers are the main processes of containers, or of `source` alone; targets are main processes, or with `target` all
        processes of that container. NotFound, FailedPrecondition."""
        ...

    async def verify(self, pod: Json, source: str = "", target: str = "") -> Json:
        """As `access`, and each verdict tried by a program inside of the caller's container: `tried` (null where it could not be), with
        `indirect` also `triedIndirect`; `verification` is {tried, equal, different: [{from, to, pid, action, computed, tried}]}."""
        ...

    async def files(self, pod: Json, container: str, options: FileOptions) -> tuple[Json, AsyncIterator[bytes] | None]:
        """A `PodFile` {container, name, type, mode, uid, gid, sizeBytes, modified} and, of a list, items of those (with `target` for
        links) and `truncated`; and the bytes of a read or of an archive (tar). Ids are as the container counts. `container` may be ""
        for the default one. NotFound, Invalid, TooLarge, FailedPrecondition, DeadlineExceeded."""
        ...

    async def write_file(self, pod: Json, container: str, path: str, mode: int, data: AsyncIterator[bytes], expected: str = "") -> Json:
        """The `PodFile` that was put in place, whole, or nothing was changed: Conflict where the file is not of the version `expected`.
        Errors as above."""
        ...

    async def write_tree(self, pod: Json, container: str, path: str, archive: AsyncIterator[bytes]) -> Json:
        """The entries of a tar archive beneath the directory `path`, which is made where only its parent is there: its `PodFile` with
        `entries`, `bytes` and `leftOut` (sentences). What was written before an error stays; the error says how much that is."""
        ...


class ResourceMetrics(Protocol):
    """The kubelet's door for metrics.k8s.io; `pods` and `node` are stored objects."""

    async def of_pods(self, wanted: Sequence[Json]) -> Sequence[Json]:
        """`{metadata, timestamp, window, containers: [{name, usage: {cpu, memory}}]}` of each that has a running container; quantities."""
        ...

    async def of_node(self, node: Json) -> Json | None:
        """`{metadata, timestamp, window, usage}`."""
        ...


class Metrics(Protocol):
    async def text(self) -> str:
        """What the node has for /metrics, in Prometheus' text format."""
        ...


class Images(Protocol):
    """Administration of the image store (`polong images`), beyond what CRI offers."""

    async def list(self) -> Sequence[Json]:
        """`{id, repoTags, repoDigests, size, created}` each; size in bytes, created RFC 3339."""
        ...

    async def command(self, reference: str) -> tuple[Sequence[str], Sequence[str]] | None:
        """Entrypoint and Cmd of an image that is here; None where it is not."""
        ...

    def pull(self, reference: str, *, username: str = "", password: str = "") -> AsyncIterator[Json]:
        """Progress: `{status, layer?, current?, total?}`, bytes; the last has status "done" and `image`."""
        ...

    def import_archive(self, archive: AsyncIterator[bytes]) -> AsyncIterator[Json]:
        """An OCI or docker-save tar; yields `{status: "done", image}` for each image."""
        ...

    def export_archive(self, references: Sequence[str]) -> AsyncIterator[bytes]:
        """An OCI archive (with docker-save's manifest.json) of the images."""
        ...

    async def remove(self, reference: str) -> None:
        """NotFound where absent; FailedPrecondition while a container uses it."""
        ...

    async def prune(self) -> Sequence[Json]:
        """Remove every image that no container uses; what was removed."""
        ...
