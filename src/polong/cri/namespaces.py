"""CRI's NamespaceOption, to the builders' words: which namespace is new, which is joined by path, which is the host's. Pure.

Sources: cri-api NamespaceOption; KEP-495; the OCI runtime specification, "Namespaces".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from polong.cri import userns
from polong.cri.records.container import ContainerRecord, state
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Invalid, Unsupported
from polong.oci.spec.model import NEW, NODE, Namespaces

Find = Callable[[str], ContainerRecord | None]


@dataclass(frozen=True)
class SandboxNamespaces:
    """Where a container finds the namespaces of its sandbox. `netns` is empty for the host's network, `userns` for the host's users."""

    sandbox_id: str
    pause_pid: int
    netns: str
    userns: str = ""


def of_process(pid: int, kind: str) -> str:
    """The path by which a namespace of a live process is joined. `kind` is the name in /proc/<pid>/ns."""
    return f"/proc/{pid}/ns/{kind}"


def check_sandbox(options: v1.NamespaceOption) -> None:
    """Refuse by name what no sandbox can have."""
    if options.pid == v1.TARGET:
        raise Invalid("pid namespace mode TARGET is for containers: a sandbox has no target")
    _refuse_what_is_not_supported(options)
    userns.mapping(options)


def for_sandbox(options: v1.NamespaceOption, netns: str, user_namespace: str = "") -> Namespaces:
    """The namespaces of /pause. For a sandbox POD and CONTAINER mean the same."""
    check_sandbox(options)
    # The host's network goes with the host's name: a Pod of it must not appear under another one.
    host_network = options.network == v1.NODE
    return Namespaces(
        user=user_namespace or NODE,
        pid=NODE if options.pid == v1.NODE else NEW,
        ipc=NODE if options.ipc == v1.NODE else NEW,
        network=NODE if host_network else netns,
        uts=NODE if host_network else NEW,
        cgroup=NEW,
    )


def for_container(options: v1.NamespaceOption, sandbox: SandboxNamespaces, find: Find) -> Namespaces:
    """The namespaces of one container. `find` looks a container up by id, for mode TARGET. The network is the sandbox's, whatever the
    container says: a Pod has one."""
    _refuse_what_is_not_supported(options)
    host_network = not sandbox.netns
    return Namespaces(
        user=sandbox.userns or NODE,
        pid=_pid(options, sandbox, find),
        ipc=_ipc(options, sandbox),
        network=NODE if host_network else sandbox.netns,
        uts=NODE if host_network else of_process(sandbox.pause_pid, "uts"),
        cgroup=NEW,
    )


def _ipc(options: v1.NamespaceOption, sandbox: SandboxNamespaces) -> str:
    if options.ipc == v1.NODE:
        return NODE
    return NEW if options.ipc == v1.CONTAINER else of_process(sandbox.pause_pid, "ipc")


def _pid(options: v1.NamespaceOption, sandbox: SandboxNamespaces, find: Find) -> str:
    if options.pid == v1.NODE:
        return NODE
    if options.pid == v1.CONTAINER:
        return NEW
    if options.pid == v1.POD:
        return of_process(sandbox.pause_pid, "pid")
    target = running_target(options.target_id, sandbox.sandbox_id, find)
    mode = v1.ContainerConfig.FromString(target.config).linux.security_context.namespace_options.pid
    # By path the target's namespace is what the target sees, whichever way it came by it; the host's is not joined but kept.
    return NODE if mode == v1.NODE else of_process(target.pid, "pid")


def running_target(target_id: str, sandbox_id: str, find: Find) -> ContainerRecord:
    """The container that TARGET names; FailedPrecondition in containerd's words where it cannot be joined."""
    target = find(target_id)
    if target is None:
        raise FailedPrecondition(f'invalid target container: container "{target_id}" does not exist')
    if target.sandbox_id != sandbox_id:
        raise FailedPrecondition(
            f'invalid target container: container "{target_id}" (sandbox {target.sandbox_id}) does not belong to sandbox {sandbox_id}'
        )
    if (current := state(target)) != v1.CONTAINER_RUNNING:
        name = v1.ContainerState.Name(current)
        raise FailedPrecondition(f'invalid target container: container "{target_id}" is not running - in state {name}')
    return target


def _refuse_what_is_not_supported(options: v1.NamespaceOption) -> None:
    if options.network not in (v1.POD, v1.NODE):
        raise Unsupported(f"network namespace mode {v1.NamespaceMode.Name(options.network)} is not supported: POD or NODE")
    if options.ipc == v1.TARGET:
        raise Unsupported("ipc namespace mode TARGET is not supported: POD, CONTAINER or NODE")
