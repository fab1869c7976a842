"""The processes of this node's Pods: list, signal, restart of one container, owner of a host PID. What `api.ports.Node` asks of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from polong.criapi.wire import v1
from polong.kit.clock import Clock, SystemClock
from polong.kit.errors import FailedPrecondition, Internal, NotFound, Unavailable
from polong.kubelet.events import Recorder
from polong.kubelet.handlers.exec import Commands
from polong.kubelet.host import signals
from polong.kubelet.host.owners import Owners, Sighting, pod_of
from polong.kubelet.host.processes import Group, Reader
from polong.kubelet.host.processlist import API_VERSION, process_list
from polong.kubelet.observation import Observation
from polong.kubelet.pleg import Pleg
from polong.kubelet.ports import RuntimeService
from polong.kubelet.restarts import never_restarts
from polong.objects import pod as pods
from polong.objects.podsignal import SignalOptions

Json = dict[str, Any]

_READING = 10.0

Restart = Callable[[str, str, str], bool]
"""(Pod UID, container, id of the instance that is to go): whether somebody looks after that Pod."""


class PodProcesses:
    def __init__(
        self,
        runtime: RuntimeService,
        pleg: Pleg,
        recorder: Recorder,
        restart: Restart,
        cgroup_parent: str,
        *,
        reader: Reader | None = None,
        owners: Owners | None = None,
        clock: Clock | None = None,
        commands: Commands | None = None,
    ) -> None:
        self._runtime = runtime
        self._pleg = pleg
        self._recorder = recorder
        self._restart = restart
        self._parent = cgroup_parent
        self._reader = reader or Reader()
        self._clock = clock or SystemClock()
        self._commands = commands
        self._owners = owners or Owners(self._reader.root)

    async def listing(self, pod: Json, *, full: bool = False) -> Json:
        """The ProcessList of the Pod; empty where nothing of it runs."""
        groups = await self._groups(pod, await self._pleg.observe(pods.uid(pod)))
        return await self._read(pod, groups, full=full)

    async def _read(self, pod: Json, groups: list[Group], *, full: bool = False) -> Json:
        async with asyncio.timeout(_READING):
            return await asyncio.to_thread(process_list, pod, groups, self._reader, full=full)

    async def groups(self, uid: str) -> tuple[tuple[str, str], list[Group]]:
        """(namespace, name) of a Pod, and what of it runs now."""
        seen = await self._pleg.observe(uid)
        return (seen.namespace, seen.name), await self._groups({"metadata": {"uid": uid}, "spec": {}}, seen)

    async def _groups(self, pod: Json, seen: Observation) -> list[Group]:
        """The sandbox first, then the containers in the order of the spec."""
        groups = []
        sandbox = seen.sandbox()
        if sandbox is not None and sandbox.ready:
            answer = await self._runtime.pod_sandbox_status(v1.PodSandboxStatusRequest(pod_sandbox_id=sandbox.id, verbose=True))
            groups.append(group("", sandbox.id, answer.info.get("info", "")))
        order = {each["name"]: place for place, (_, _, each) in enumerate(pods.all_containers(pod))}
        for each in sorted(seen.alive(), key=lambda each: order.get(each.name, len(order))):
            try:
                status = await self._runtime.container_status(v1.ContainerStatusRequest(container_id=each.id, verbose=True))
            except NotFound:
                continue
            groups.append(group(each.name, each.id, status.info.get("info", ""), self._commands))
        return groups

    async def signal(self, pod: Json, options: SignalOptions, user: str = "") -> Json:
        """Send it, and record an Event that says who received what."""
        receivers = await self.deliver(pod, options)
        for container, message in signals.stories(options, receivers, user):
            self._recorder.pod(pod, "Signaled", message, container=container)
        return signals.answer(pod, options, receivers)

    async def deliver(self, pod: Json, options: SignalOptions) -> list[Json]:
        """Send it; what became of each receiver (`host.signals.send`)."""
        groups = await self._groups(pod, await self._pleg.observe(pods.uid(pod)))
        listing = await self._read(pod, groups)
        chosen = signals.choose(pod, listing["items"], options)
        cgroups = {each.id: each.cgroup for each in groups}
        return await asyncio.to_thread(signals.send, chosen, options, cgroups, self._reader.root)

    async def age(self, pod: Json, container: str) -> float | None:
        """Seconds since its newest instance was started; None where none runs."""
        latest = (await self._pleg.observe(pods.uid(pod))).latest(container)
        if latest is None or latest.state != "running" or latest.started is None:
            return None
        return (self._clock.now() - latest.started).total_seconds()

    async def restart(self, pod: Json, container: str, user: str = "") -> Json:
        """Ask for it; what follows is the work of the Pod's worker. FailedPrecondition where the policy, or the Pod's end, forbids it."""
        name = container or signals.only_container(pod)
        signals.known_container(pod, name)
        where = f"container {name} of pod {pods.name(pod)}"
        spec = next((each for each in (*pods.containers(pod), *pods.sidecars(pod)) if each["name"] == name), None)
        if spec is None:
            raise FailedPrecondition(f"cannot restart {where}: it is an init or ephemeral container, which runs once")
        if pods.is_terminating(pod) or pods.is_finished(pod):
            state = "is being deleted" if pods.is_terminating(pod) else f"is over ({pods.phase(pod)})"
            raise FailedPrecondition(f"cannot restart {where}: the pod {state}")
        if never_restarts(pod, spec):
            raise FailedPrecondition(
                f"cannot restart {where}: its restartPolicy is Never, so that whatever ends stays ended;"
                " delete the pod and create it again, or give it restartPolicy Always or OnFailure"
            )
        latest = (await self._pleg.observe(pods.uid(pod))).latest(name)
        if latest is None or latest.state == "created":
            raise signals.not_running(pod, name)
        if not self._restart(pods.uid(pod), name, latest.id):
            raise Unavailable(f"cannot restart {where}: the node does not look after this pod yet, try again in a moment")
        self._recorder.pod(pod, "RestartRequested", f"Restart of container {name} requested{f' by {user}' if user else ''}", container=name)
        return {
            "kind": "Restart",
            "apiVersion": API_VERSION,
            "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "uid") if key in pod["metadata"]},
            "container": name,
            "containerID": latest.id,
            "restartCount": latest.attempt,
        }

    async def owner(self, pid: int, cgroup: str = "", *, killed: bool = False) -> Json:
        """The `HostProcess` of that number. NotFound where there is none, and the kernel's log remembers none that it killed."""
        sighting = await asyncio.to_thread(self._owners.sight, pid, cgroup, killed=killed)
        if sighting is None:
            raise NotFound(f"no process has PID {pid} on this host, and the kernel's log names none that it killed")
        found: Json = {
            "kind": "HostProcess",
            "apiVersion": API_VERSION,
            "metadata": {"name": str(pid)},
            "hostPID": pid,
            "name": sighting.name.encode("utf-8", "replace").decode(),
            "command": [each.encode("utf-8", "replace").decode() for each in sighting.command],
            "cgroup": sighting.cgroups[-1] if sighting.cgroups else "",
            "ended": sighting.ended,
        }
        place = pod_of(sighting.cgroups, self._parent)
        if place is not None:
            found |= await self._place(sighting, *place)
        return found

    async def _place(self, sighting: Sighting, uid: str, cgroup: str) -> Json:
        """What is known of the Pod; of one that is gone, its UID."""
        seen = await self._pleg.observe(uid)
        place: Json = {"cgroup": cgroup, "pod": {"name": seen.name, "namespace": seen.namespace, "uid": uid}}
        container = next((each for each in seen.containers if each.id in cgroup), None)
        if container is not None:
            place |= {"container": container.name, "containerID": container.id}
        if sighting.ended and container is not None:
            status = await self._runtime.container_status(v1.ContainerStatusRequest(container_id=container.id, verbose=True))
            place["role"] = "main" if _info(container.name, status.info.get("info", "")).mainPid == sighting.pid else ""
        if not sighting.ended:
            pod = {"metadata": {"uid": uid}, "spec": {}}
            listing = await self._read(pod, await self._groups(pod, seen), full=True)
            item = next((each for each in listing["items"] if each["hostPID"] == sighting.pid), None)
            if item is not None:
                place["process"] = item
                place |= {key: item[key] for key in ("container", "containerID", "role", "pid", "cgroup")}
        return place


def group(container: str, identity: str, info: str, commands: Commands | None = None) -> Group:
    """From the verbose info of CRI: a JSON object with `pid`, `runtimeSpec` and `execs`; `commands` says whose the last are."""
    known = _info(container, info)
    linux = known.runtimeSpec.linux if known.runtimeSpec else None
    roles = {each.pid: role for each in known.execs if commands is not None and (role := commands.role(identity, each.command))}
    return Group(container, identity, linux.cgroupsPath if linux else "", known.pid, roles)


# A container's whole specification comes with it, a hundred times what is asked for: typed, the rest is passed by.
class _Linux(msgspec.Struct):
    cgroupsPath: str = ""  # noqa: N815 - the runtime specification's own


class _Spec(msgspec.Struct):
    linux: _Linux | None = None


class _Exec(msgspec.Struct):
    pid: int
    command: list[str]


class _Info(msgspec.Struct):
    pid: int = 0
    mainPid: int = 0  # noqa: N815 - this runtime's own: of a container that has ended too
    runtimeSpec: _Spec | None = None  # noqa: N815 - CRI-O's and containerd's name
    execs: list[_Exec] = []


_decode = msgspec.json.Decoder(_Info).decode


def _info(container: str, text: str) -> _Info:
    try:
        return _decode(text) if text else _Info()
    except msgspec.MsgspecError as error:
        raise Internal(f"the runtime's information about {container or 'the sandbox'} cannot be understood: {error}") from error
