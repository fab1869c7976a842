"""`api.ports.Inspector` for the Pods of this node: who may reach whom, and the files of containers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from polong.criapi.ports import Programs
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Internal, NotFound, Unsupported
from polong.kubelet.host import attempts, files
from polong.kubelet.host.access import API_VERSION, AccessReader, Member, Trial, pod_access, refused_calls, trials
from polong.kubelet.host.processes import Group
from polong.kubelet.pleg import Pleg
from polong.kubelet.ports import RuntimeService
from polong.objects import pod as pods
from polong.objects.podfiles import FileOptions

Json = dict[str, Any]

_READING = 10.0
_AT_ONCE = 4


class Inspection:
    """`programs` is None where the runtime is another's: then nothing can be tried inside of containers."""

    def __init__(
        self,
        runtime: RuntimeService,
        pleg: Pleg,
        programs: Programs | None = None,
        *,
        reader: AccessReader | None = None,
        original: Callable[[Json], Json] = lambda pod: pod,
    ) -> None:
        """`original` finds the static Pod behind a mirror."""
        self._original = original
        self._runtime = runtime
        self._pleg = pleg
        self._programs = programs
        self._reader = reader or AccessReader()

    async def access(self, pod: Json, source: str = "", target: str = "") -> Json:
        """The PodAccess. NotFound for a container that the Pod does not have, FailedPrecondition for one that does not run."""
        asked = await self._trials(pod, source, target)
        return await asyncio.to_thread(pod_access, pod, asked, self._reader.kernel())

    async def verify(self, pod: Json, source: str = "", target: str = "") -> Json:
        """As `access`, each verdict tried from inside of the caller's container as well. Unsupported where the runtime cannot do that."""
        if self._programs is None:
            raise Unsupported("this node's container runtime cannot try verdicts from inside of containers (verify)")
        answer = await self._tried(pod, source, target, self._programs)
        if answer["verification"]["different"]:
            # A process that has just changed its user was read before and tried after: what holds shows again.
            answer = await self._tried(pod, source, target, self._programs)
        return answer

    async def _tried(self, pod: Json, source: str, target: str, programs: Programs) -> Json:
        asked = await self._trials(pod, source, target)
        kernel = self._reader.kernel()
        answer = await asyncio.to_thread(pod_access, pod, asked, kernel)
        items = iter(answer["items"])
        places = [[next(items) for _ in seen] for _, _, seen in asked]
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(trial: Trial, its: list[Json]) -> str:
            async with turns:
                return await attempts.attempt(trial, its, programs, self._reader.root)

        async with asyncio.TaskGroup() as group:
            done = [group.create_task(one(trial, its)) for trial, its in zip(asked, places, strict=True)]
        answer["notes"] += [note for each in done if (note := each.result())]
        answer["verification"] = attempts.summary(answer["items"])
        return answer

    async def _trials(self, pod: Json, source: str, target: str) -> list[Trial]:
        members = await self._members(pod)
        running = {each.group.container for each in members}
        for name in filter(None, (source, target)):
            _require(pod, name, running)
        async with asyncio.timeout(_READING):
            return await asyncio.to_thread(trials, members, self._reader, source, target)

    async def files(self, pod: Json, container: str, options: FileOptions) -> tuple[Json, AsyncIterator[bytes] | None]:
        """A `PodFile` and, for a read, its bytes. NotFound, Invalid, FailedPrecondition, TooLarge, DeadlineExceeded."""
        group = await self._group(pod, container)
        found, body = await files.look(group, options)
        return _file(pod, group, found), body

    async def write_file(self, pod: Json, container: str, path: str, mode: int, data: AsyncIterator[bytes], expected: str = "") -> Json:
        """Put a file in place; its `PodFile`. Nothing has changed where this fails."""
        group = await self._group(pod, container)
        return _file(pod, group, await files.write(group, path, mode, data, expected=expected))

    async def write_tree(self, pod: Json, container: str, path: str, archive: AsyncIterator[bytes]) -> Json:
        """What a tar archive holds, beneath a directory; its `PodFile`."""
        group = await self._group(pod, container)
        return _file(pod, group, await files.write_tree(group, path, archive))

    async def _group(self, pod: Json, container: str) -> Group:
        members = {each.group.container: each.group for each in await self._members(pod) if each.group.container}
        name = container or pods.default_container(pod)
        _require(pod, name, set(members))
        return members[name]

    async def _members(self, pod: Json) -> list[Member]:
        """The sandbox first, then the containers that run, in the order of the spec."""
        seen = await self._pleg.observe(pods.uid(self._original(pod)))
        members = []
        sandbox = seen.sandbox()
        if sandbox is not None and sandbox.ready:
            answer = await self._runtime.pod_sandbox_status(v1.PodSandboxStatusRequest(pod_sandbox_id=sandbox.id, verbose=True))
            members.append(_member("", sandbox.id, answer.info.get("info", "")))
        order = {container["name"]: place for place, (_, _, container) in enumerate(pods.all_containers(pod))}
        for each in sorted(seen.alive(), key=lambda each: order.get(each.name, len(order))):
            try:
                status = await self._runtime.container_status(v1.ContainerStatusRequest(container_id=each.id, verbose=True))
            except NotFound:
                continue
            member = _member(each.name, each.id, status.info.get("info", ""))
            if member.group.pid:
                members.append(member)
        return members


def _file(pod: Json, group: Group, found: Json) -> Json:
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid") if key in pod["metadata"]}
    return {"kind": "PodFile", "apiVersion": API_VERSION, "metadata": metadata, "container": group.container, **found}


def _require(pod: Json, name: str, running: set[str]) -> None:
    if pods.find_container(pod, name) is None:
        had = ", ".join(container["name"] for _, _, container in pods.all_containers(pod))
        raise NotFound(f"container {name} not found in pod {pods.name(pod)}; it has: {had}", reason="NotFound")
    if name not in running:
        raise FailedPrecondition(f"container {name} of pod {pods.name(pod)} is not running: nothing to look at", reason="Conflict")


def _member(container: str, identity: str, info: str) -> Member:
    try:
        known = json.loads(info) if info else {}
        spec = known.get("runtimeSpec") or {}
        cgroup = (spec.get("linux") or {}).get("cgroupsPath") or ""
        return Member(Group(container, identity, cgroup, int(known.get("pid") or 0)), refused_calls(spec))
    except (ValueError, AttributeError, TypeError) as error:
        raise Internal(f"the runtime's information about {container or 'the sandbox'} cannot be understood: {error}") from error
