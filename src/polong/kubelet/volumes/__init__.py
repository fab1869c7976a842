"""Volumes and files of Pods under `<root>/pods/<uid>`: what they mount, /etc/hosts, termination messages. All of it is the node's own
directory, mode 0700 at the top; what containers wrote in it is removed without following anything.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import FailedPrecondition, Invalid, PolongError, Unsupported
from polong.kubelet import containers
from polong.kubelet.containers import Mounted
from polong.kubelet.downward import Allocatable
from polong.kubelet.environment import expand_strictly
from polong.kubelet.ports import Objects
from polong.kubelet.resources import pod_limits
from polong.kubelet.security import UserRange
from polong.kubelet.volumes import atomic, emptydir, hostpath, hosts, hostsfile, payload, removal, subpath, termination, usage, users
from polong.kubelet.volumes.claims import ClaimVolumes
from polong.kubelet.volumes.payload import Material
from polong.kubelet.volumes.tokens import Tokens
from polong.objects import pod as pods
from polong.objects import podreferences
from polong.objects.podreferences import Reference

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_HOSTS = "/etc/hosts"
# A uid comes from the API and becomes a directory name.
_PLAIN = frozenset("0123456789abcdefABCDEF-")
_CONFIG = "CreateContainerConfigError"


@dataclass(frozen=True)
class Feeds:
    """What the contents of volumes come from."""

    objects: Objects
    tokens: Tokens
    node: Allocatable
    clock: Clock
    names: Callable[[Json], Sequence[tuple[str, Sequence[str]]] | None] = lambda _: None
    """(address, names) of the Services that a Pod is to find in its /etc/hosts; None where it wants none."""


@dataclass(frozen=True)
class Refreshed:
    """`changed`: the objects of which some volume shows something new; `problems`: texts of FailedMount; `due`: seconds until a token is
    to be renewed."""

    changed: frozenset[Reference] = frozenset()
    problems: tuple[str, ...] = ()
    due: float | None = None


@dataclass(frozen=True)
class Instance:
    """One instance of a container that is about to be made: host paths by volume (`Volumes.set_up`), images by volume, the Pod's
    addresses, the container's environment."""

    attempt: int
    paths: Mapping[str, Path]
    ips: Sequence[str] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


class Volumes:
    def __init__(self, root: Path, feeds: Feeds, host_file: Path = Path(_HOSTS)) -> None:
        self._pods = root / "pods"
        self.claims = ClaimVolumes(root)
        self._feeds = feeds
        self._host_file = host_file
        self._written: dict[str, str] = {}
        # Containers of a Pod are made side by side, each in a thread.
        self._writing = threading.Lock()
        # Setting up, refreshing and removing the volumes of one Pod exclude each other.
        self._locks: dict[str, asyncio.Lock] = {}
        # Volumes that were given to the Pod's group, by Pod.
        self._grouped: set[tuple[str, str]] = set()
        # Which object each file came from, by Pod and volume: of a file that is gone nothing else tells.
        self._origins: dict[tuple[str, str], Mapping[str, Reference | None]] = {}

    def directory(self, uid: str) -> Path:
        if not uid or not set(uid) <= _PLAIN:
            raise FailedPrecondition(f"{uid[:60]!r} is not a uid")
        return self._pods / uid

    def _lock(self, uid: str) -> asyncio.Lock:
        return self._locks.setdefault(uid, asyncio.Lock())

    def users(self, pod: Json) -> UserRange | None:
        """The ids of a Pod that has users of its own, whose directory exists (`set_up`)."""
        return users.range_of(pod, self.directory(pods.uid(pod)))

    # --- volumes -----------------------------------------------------------------------------------------------------------------

    async def set_up(self, pod: Json) -> Mapping[str, Path]:
        """Volume name to host path. FailedPrecondition (reason FailedMount) with the kubelet's text. Idempotent: files of objects are
        written once, `refresh` keeps them true."""
        uid = pods.uid(pod)
        async with self._lock(uid):
            material: dict[str, Material] = {}
            for volume in _fed(pod):
                if not atomic.is_written(self._place(uid, volume)):
                    try:
                        material[volume["name"]] = await self._material(pod, volume)
                    except PolongError as error:
                        raise _failed(volume, error) from error
            claimed = {volume["name"]: await self._claim(pod, volume) for volume in _claims(pod)}
            return await asyncio.to_thread(self._set_up, pod, material, claimed)

    async def _claim(self, pod: Json, volume: Json) -> Path:
        name = volume["persistentVolumeClaim"]["claimName"]
        policy = (pods.spec(pod).get("securityContext") or {}).get("fsGroupChangePolicy") or "Always"
        try:
            claim = await self._feeds.objects.get(pods.namespace(pod), Reference(podreferences.CLAIM, name))
            # Once a Pod: it may be long work, and what containers made of the owners since then stays.
            group = _group(pod) if (pods.uid(pod), volume["name"]) not in self._grouped else None
            path = await asyncio.to_thread(self.claims.set_up, name, claim, group, policy)
            self._grouped.add((pods.uid(pod), volume["name"]))
            return path
        except (PolongError, OSError) as error:
            raise _failed(volume, error) from error

    def _set_up(self, pod: Json, material: Mapping[str, Material], claimed: Mapping[str, Path]) -> Mapping[str, Path]:
        own = self.directory(pods.uid(pod))
        for each in (self._pods, own):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = dict(claimed)
        for volume in pods.spec(pod).get("volumes") or ():
            if volume.get("image") is not None or volume["name"] in claimed:
                continue
            try:
                found[volume["name"]] = self._one(pod, volume, material.get(volume["name"]))
            except (PolongError, OSError) as error:
                raise _failed(volume, error) from error
        return found

    def _one(self, pod: Json, volume: Json, material: Material | None) -> Path:
        if volume.get("hostPath") is not None:
            return hostpath.set_up(volume["hostPath"])
        place = self._place(pods.uid(pod), volume)
        if volume.get("emptyDir") is not None:
            return emptydir.set_up(volume["emptyDir"], place, _group(pod), self._memory(pod))
        if not payload.source_of(volume):
            raise Unsupported(f"volumes of type {_kind(volume)} are not supported")
        if material is not None:
            # As Kubernetes does: what may be secret never comes to lie on a disk.
            medium = {} if volume.get("configMap") is not None else {"medium": "Memory"}
            emptydir.set_up(medium, place, _group(pod))
            self._write(place, volume, material)
        return place

    def _memory(self, pod: Json) -> int:
        """What an emptyDir in memory may take at most: what the Pod may, else what the node can give."""
        limit = pod_limits(pod).memory
        return min(limit, self._feeds.node.memory) if limit else self._feeds.node.memory

    def _write(self, place: Path, volume: Json, material: Material) -> frozenset[Reference]:
        """The objects of which the volume shows something new."""
        files = payload.build(volume, material)
        changed = atomic.write(place, files, _group(material.pod), self._feeds.clock.now())
        key = (pods.uid(material.pod), volume["name"])
        before, now = self._origins.get(key), {path: file.origin for path, file in files.items()}
        self._origins[key] = now
        found = {now[path] for path in changed & now.keys()}
        if gone := changed - now.keys():
            found |= {before.get(path) for path in gone} if before is not None else set(podreferences.of_volume(volume))
        return frozenset(each for each in found if each is not None)

    def _place(self, uid: str, volume: Json) -> Path:
        return self.directory(uid) / "volumes" / f"kubernetes.io~{_DIRECTORIES.get(_kind(volume), 'none')}" / str(volume["name"])

    async def _material(self, pod: Json, volume: Json) -> Material:
        objects: dict[Reference, Json | None] = {}
        for reference in podreferences.of_volume(volume):
            objects[reference] = await self._feeds.objects.get(pods.namespace(pod), reference)
        tokens = {each: await self._feeds.tokens.get(pod, each) for each in payload.token_requests(pod, volume)}
        return Material(pod, self._feeds.node, objects, tokens)

    async def refresh(self, pod: Json) -> Refreshed:
        """Let the volumes that were set up show what is true now. What cannot be shown any more stays as it was."""
        uid = pods.uid(pod)
        changed: set[Reference] = set()
        problems = []
        due: float | None = None
        async with self._lock(uid):
            for volume in _fed(pod):
                place = self._place(uid, volume)
                if atomic.is_written(place):
                    try:
                        material = await self._material(pod, volume)
                        changed |= await asyncio.to_thread(self._write, place, volume, material)
                    except (PolongError, OSError) as error:
                        problems.append(str(_failed(volume, error)))
                for request in payload.token_requests(pod, volume):
                    left = self._feeds.tokens.due(uid, request)
                    due = left if due is None else min(due, left)
        return Refreshed(frozenset(changed), tuple(problems), due)

    # --- what stands in a container ----------------------------------------------------------------------------------------------

    async def mounts(self, pod: Json, container: Json, instance: Instance) -> list[Mounted]:
        """What stands in the container: its volumeMounts, /etc/hosts and the file of its termination message. Invalid or
        FailedPrecondition (CreateContainerConfigError)."""
        return await asyncio.to_thread(self._mounts, pod, container, instance)

    def _mounts(self, pod: Json, container: Json, instance: Instance) -> list[Mounted]:
        own = self.directory(pods.uid(pod))
        fed = {each["name"] for each in _fed(pod)}
        sealed = {each["name"] for each in _claims(pod) if each["persistentVolumeClaim"].get("readOnly")}
        found = []
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            name = mount["name"]
            part = _part(mount, instance.values)
            # Files of objects are the node's to change, nobody else's.
            read_only = bool(mount.get("readOnly")) or name in fed or name in sealed
            if name in instance.images:
                found.append(Mounted(None, mount["mountPath"], True, image=instance.images[name], image_part=part))
                continue
            if name not in instance.paths:
                raise FailedPrecondition(f'volume "{name}" is not set up', reason=_CONFIG)
            host_path = instance.paths[name]
            if part:
                host_path = subpath.prepare(own, (name, host_path), part, container["name"], index)
            propagation = mount.get("mountPropagation") or "None"
            found.append(Mounted(host_path, mount["mountPath"], read_only, propagation, _recursive(mount)))
        read_only = bool((container.get("securityContext") or {}).get("readOnlyRootFilesystem"))
        if all(each.container_path.rstrip("/") != _HOSTS for each in found):
            found.append(Mounted(self._write_hosts(pod, own, instance.ips), _HOSTS, read_only))
        message = termination.create(own / "containers" / container["name"], instance.attempt)
        found.append(Mounted(message, containers.message_path(container)))
        return found

    def _write_hosts(self, pod: Json, own: Path, ips: Sequence[str]) -> Path:
        aliases = pods.spec(pod).get("hostAliases") or ()
        if pods.host_network(pod):
            text = hosts.of_host(self._host_file.read_text("utf-8", "replace"), aliases)
        else:
            named = bool(pods.spec(pod).get("hostnameOverride"))
            text = hosts.managed(ips, containers.hostname(pod), "" if named else containers.domain(pod), aliases)
        path = own / "etc-hosts"
        # Containers may add lines of their own, which a restart of a neighbour must not undo.
        with self._writing:
            if self._written.get(pods.uid(pod)) != text or not path.exists():
                hostsfile.write(path, text + hosts.services(self._feeds.names(pod)))
                self._written[pods.uid(pod)] = text
            else:
                self._refresh_hosts(pod, path)
        return path

    def _refresh_hosts(self, pod: Json, path: Path) -> None:
        names = self._feeds.names(pod)
        text = hostsfile.read(path) if names is not None else None
        if text is not None and (wanted := hosts.with_services(text, hosts.services(names))) != text:
            hostsfile.write(path, wanted)

    async def refresh_hosts(self, running: Sequence[Json]) -> None:
        """Let /etc/hosts of these Pods name the Services that there are now."""
        await asyncio.to_thread(self._refresh_all_hosts, running)

    def _refresh_all_hosts(self, running: Sequence[Json]) -> None:
        for pod in running:
            with self._writing:
                try:
                    self._refresh_hosts(pod, self.directory(pods.uid(pod)) / "etc-hosts")
                except (PolongError, OSError) as error:
                    _log.warning("Pod %s/%s: cannot refresh its /etc/hosts: %s", pods.namespace(pod), pods.name(pod), error)

    def empty_directories(self, pod: Json, enough: Mapping[str, int]) -> dict[str, int]:
        """Bytes on the disk by emptyDir; counting one ends above `enough`. Blocking."""
        found = {}
        for volume in pods.spec(pod).get("volumes") or ():
            if volume.get("emptyDir") is not None and not (volume["emptyDir"] or {}).get("medium"):
                found[volume["name"]] = usage.used(self._place(pods.uid(pod), volume), enough.get(volume["name"]))
        return found

    def message(self, uid: str, container: str, attempt: int, limit: int = termination.MESSAGE_BYTES) -> str:
        """What that instance wrote as its termination message, from the end of the file."""
        return termination.read(self.directory(uid) / "containers" / container, attempt, limit)

    # --- the end -----------------------------------------------------------------------------------------------------------------

    async def remove(self, uid: str) -> None:
        """Everything of the Pod. Idempotent. Internal where something is still mounted."""
        async with self._lock(uid):
            self._written.pop(uid, None)
            self._feeds.tokens.forget(uid)
            for key in [each for each in self._origins if each[0] == uid]:
                del self._origins[key]
            self._grouped = {each for each in self._grouped if each[0] != uid}
            await asyncio.to_thread(removal.remove, self.directory(uid))
        self._locks.pop(uid, None)

    def held(self) -> set[str]:
        """UIDs that have a directory."""
        if not self._pods.is_dir():
            return set()
        return {each.name for each in self._pods.iterdir() if set(each.name) <= _PLAIN}


_DIRECTORIES = {
    "configMap": "configmap",
    "downwardAPI": "downward-api",
    "emptyDir": "empty-dir",
    "projected": "projected",
    "secret": "secret",
}


def _kind(volume: Json) -> str:
    return next((key for key in volume if key != "name" and volume[key] is not None), "none")


def _fed(pod: Json) -> list[Json]:
    """Volumes whose files the node writes."""
    return [each for each in pods.spec(pod).get("volumes") or () if payload.source_of(each)]


def _claims(pod: Json) -> list[Json]:
    return [each for each in pods.spec(pod).get("volumes") or () if each.get("persistentVolumeClaim") is not None]


def _group(pod: Json) -> int | None:
    group: int | None = (pods.spec(pod).get("securityContext") or {}).get("fsGroup")
    return group


def _failed(volume: Json, error: Exception) -> FailedPrecondition:
    return FailedPrecondition(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}', reason="FailedMount")


def _part(mount: Json, values: Mapping[str, str]) -> str:
    if expression := mount.get("subPathExpr"):
        return expand_strictly(expression, values)
    return str(mount.get("subPath") or "")


def _recursive(mount: Json) -> bool:
    """recursiveReadOnly: every kernel and runtime that Polong runs on can do it, so IfPossible is as good as Enabled."""
    mode = mount.get("recursiveReadOnly") or "Disabled"
    if mode == "Disabled":
        return False
    propagation = mount.get("mountPropagation") or "None"
    if not mount.get("readOnly"):
        raise Invalid(f'volume "{mount["name"]}" requested recursive read-only mode, but it is not read-only', reason=_CONFIG)
    if propagation != "None":
        text = f'volume "{mount["name"]}" requested recursive read-only mode, but it is not compatible with propagation "{propagation}"'
        raise Invalid(text, reason=_CONFIG)
    return True
