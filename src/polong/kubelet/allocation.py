"""What the Pods of this node were given of its cpu and memory: a Pod that is resized gets what it asks for when there is room.

What was given, and what each instance got of it, is kept in `<pod directory>/resources.json`, so that a daemon that comes back takes no
wish for a promise. Source: KEP-1287, kubelet allocation/allocation_manager.go (order and texts).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from polong.kubelet import resize
from polong.kubelet.downward import Allocatable
from polong.kubelet.events import Recorder
from polong.kubelet.resize import DEFERRED, INFEASIBLE, Grant, Pending
from polong.kubelet.resources import PodLimits
from polong.objects import pod as pods
from polong.objects import podresources
from polong.objects.podresources import Amounts

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_FILE = "resources.json"
_CLASSES = ("Guaranteed", "Burstable", "BestEffort")


class Allocations:
    """`directory` of a Pod's files by its UID; `poke` is called with the UID of a Pod whose allocation changed while another asked."""

    def __init__(self, directory: Callable[[str], Path], node: Allocatable, recorder: Recorder, poke: Callable[[str], None]) -> None:
        self._directory = directory
        self._node = node
        self._recorder = recorder
        self._poke = poke
        self._grants: dict[str, Grant] = {}
        self._turns = 0

    # --- what is given -----------------------------------------------------------------------------------------------------------

    def of(self, pod: Json) -> Json:
        """The Pod with the resources that it was given in place of those that it asks for."""
        uid = pods.uid(pod)
        grant = self._grants.get(uid)
        if grant is None:
            grant = self._grants[uid] = self._load(uid) or Grant({})
        grant.pod = pod
        grant.over = pods.is_finished(pod)
        asked = _asked(pod)
        fresh = {name: resources for name, resources in asked.items() if name not in grant.allocated}
        if fresh:
            # Before its first start a Pod has what it was scheduled with.
            grant.allocated |= fresh
            self._save(uid, grant)
        if asked == grant.allocated:
            grant.pending = None
        elif not grant.over:
            if grant.pending is None:
                self._turns += 1
                grant.turn = self._turns
            self._settle(uid)
        return given(pod, grant.allocated)

    def grant(self, uid: str) -> Grant:
        """NotGranted is no state: `of` was called before."""
        return self._grants[uid]

    def release(self, uid: str) -> None:
        """It is gone, or nothing of it will run again: others may have what it held."""
        grant = self._grants.pop(uid, None)
        if grant is not None and not grant.over:
            self._settle()

    def finished(self, uid: str) -> None:
        """As `release`, while its object stays."""
        grant = self._grants.get(uid)
        if grant is not None and not grant.over:
            grant.over = True
            self._settle()

    # --- what is in force ----------------------------------------------------------------------------------------------------------

    def made(self, pod: Json, name: str, container_id: str) -> None:
        """That instance was created from the Pod's allocation."""
        grant = self._grants.get(pods.uid(pod))
        container = pods.find_container(pod, name)
        if grant is None or container is None or not resize.is_resizable(pod, container):
            return
        for before in [each for each, owner in grant.names.items() if owner == name]:
            grant.actuated.pop(before, None)
            del grant.names[before]
        grant.actuated[container_id] = resize.effective(pod, container)
        grant.names[container_id] = name
        self._save(pods.uid(pod), grant)

    def resized(self, pod: Json, done: Mapping[str, str], limits: PodLimits) -> None:
        """The instances of `done` (id: name) and the Pod's cgroup have what `pod` says."""
        grant = self._grants.get(pods.uid(pod))
        if grant is None:
            return
        for container_id, name in done.items():
            grant.actuated[container_id] = resize.effective(pod, pods.find_container(pod, name) or {})
            grant.names[container_id] = name
        grant.limits = limits
        self._save(pods.uid(pod), grant)
        self._settle(pods.uid(pod))

    def limited(self, pod: Json, limits: PodLimits) -> None:
        """The Pod's cgroup was made with these."""
        grant = self._grants.get(pods.uid(pod))
        if grant is not None and grant.limits != limits:
            grant.limits = limits
            self._save(pods.uid(pod), grant)

    # --- deciding ----------------------------------------------------------------------------------------------------------------

    def _settle(self, asking: str = "") -> None:
        """Give to those who wait, in their order, what there is."""
        waiting = [(uid, each) for uid, each in self._grants.items() if not each.over and _asked(each.pod) != each.allocated]
        for uid, grant in sorted(waiting, key=lambda item: _rank(item[1])):
            pending = self._refusal(uid, grant)
            if pending is None:
                self._give(uid, grant)
            elif pending != grant.pending:
                if grant.pending is None or grant.pending.reason != pending.reason:
                    text = f"Pod resize {pending.reason}: {resize.summary(grant.pod, pending.message)}"
                    self._recorder.pod(grant.pod, f"Resize{pending.reason}", text, warning=True)
                grant.pending = pending
            else:
                continue
            if uid != asking:
                self._poke(uid)

    def _give(self, uid: str, grant: Grant) -> None:
        grant.allocated = _asked(grant.pod)
        grant.pending = None
        self._save(uid, grant)
        self._recorder.pod(grant.pod, "ResizeStarted", f"Pod resize started: {resize.summary(grant.pod)}")

    def _refusal(self, uid: str, grant: Grant) -> Pending | None:
        wanted, has = podresources.total(grant.pod, "requests"), self._held(grant)
        if not _grows(wanted, has):
            return None
        capacity = {name: self._node.of(name) for name in resize.RESIZABLE}
        for name in reversed(resize.RESIZABLE):
            if wanted.get(name, 0) > capacity[name]:
                said = f"{name}, requested: {_number(name, wanted[name])}, capacity: {_number(name, capacity[name])}"
                return Pending(INFEASIBLE, f"Node didn't have enough capacity: {said}")
        for name in resize.RESIZABLE:
            used = sum((self._held(each).get(name, Fraction(0)) for other, each in self._grants.items() if other != uid), Fraction(0))
            if wanted.get(name, 0) > has.get(name, 0) and wanted[name] + used > capacity[name]:
                numbers = [_number(name, each) for each in (wanted[name], used, capacity[name])]
                said = "requested: {}, used: {}, capacity: {}".format(*numbers)
                return Pending(DEFERRED, f"Node didn't have enough resource: {name}, {said}")
        return None

    def _held(self, grant: Grant) -> Amounts:
        """Of each container the most of what it was given and of what it still has."""
        if grant.over or not grant.pod:
            return {}
        statuses = []
        for name, resources in grant.allocated.items():
            if name == _WHOLE:
                continue
            held = grant.actuated.get(_instance(grant, name)) or {}
            statuses.append({"name": name, "resources": held, "allocatedResources": resources.get("requests") or {}})
        return podresources.reserved({**given(grant.pod, grant.allocated), "status": {"containerStatuses": statuses}})

    # --- the file ----------------------------------------------------------------------------------------------------------------

    def _load(self, uid: str) -> Grant | None:
        try:
            found = json.loads((self._directory(uid) / _FILE).read_bytes())
            limits = PodLimits(**found["limits"]) if found["limits"] else None
            return Grant(found["allocated"], found["actuated"], limits, names=found["names"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("cannot read what Pod %s was given, taking what it asks for: %s", uid, error)
            return None

    def _save(self, uid: str, grant: Grant) -> None:
        directory = self._directory(uid)
        limits = asdict(grant.limits) if grant.limits is not None else None
        document = {"allocated": grant.allocated, "actuated": grant.actuated, "names": grant.names, "limits": limits}
        fresh = directory / f"{_FILE}.new"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(json.dumps(document))
        fresh.replace(directory / _FILE)


_WHOLE = ""
"""The Pod's own resources, among those of its containers."""


def _asked(pod: Json) -> dict[str, Json]:
    whole = pods.spec(pod).get("resources")
    return {**({_WHOLE: whole} if whole else {}), **{each["name"]: resize.given(each) for each in _resizable(pod)}}


def _resizable(pod: Json) -> Iterable[Json]:
    return (each for _, _, each in pods.all_containers(pod) if resize.is_resizable(pod, each))


def given(pod: Json, allocated: Mapping[str, Json]) -> Json:
    """A copy with these resources, where they are others than its own."""
    if all(allocated.get(name, asked) == asked for name, asked in _asked(pod).items()):
        return pod
    spec = dict(pods.spec(pod))
    if _WHOLE in allocated:
        spec["resources"] = allocated[_WHOLE]
    for name in ("containers", "initContainers"):
        if name in spec:
            spec[name] = [
                {**each, "resources": allocated.get(each["name"], resize.given(each))} if resize.is_resizable(pod, each) else each
                for each in spec[name]
            ]
    return {**pod, "spec": spec}


def _instance(grant: Grant, name: str) -> str:
    return next((each for each, owner in grant.names.items() if owner == name), "")


def _grows(wanted: Amounts, has: Amounts) -> bool:
    return any(wanted.get(name, 0) > has.get(name, 0) for name in resize.RESIZABLE)


def _rank(grant: Grant) -> tuple[bool, int, int, int]:
    """Who asks for less goes first, then by priority, quality of service, and time of waiting."""
    grows = _grows(podresources.total(grant.pod, "requests"), podresources.total(given(grant.pod, grant.allocated), "requests"))
    return grows, -int(pods.spec(grant.pod).get("priority") or 0), _CLASSES.index(pods.qos_class(grant.pod)), grant.turn


def _number(name: str, amount: Fraction) -> int:
    """As the kubelet says them: thousandths of cpu, bytes."""
    return int(amount * 1000) if name == "cpu" else int(amount)
