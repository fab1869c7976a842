"""Mirrors: for each static Pod an object in the API that shows it. Whoever deletes one gets it back; it changes nothing of the Pod.

Level-triggered: one pass over what should be and what is follows each change, and each failure after a while. Source: kubelet
pod/mirror_client.go, kubelet_pods.go (deleteOrphanedMirrorPods), status/status_manager.go (translation of UIDs).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import AlreadyExists, Conflict, NotFound, PolongError
from polong.kubelet import staticpods
from polong.kubelet.ports import Api
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_AGAIN = 10.0

Place = tuple[str, str]
"""(namespace, name)"""


class Mirrors:
    """Satisfies `ports.PodWrites`: what is written of a static Pod, by its own UID, is written to its mirror."""

    def __init__(self, api: Api, node_name: str, clock: Clock) -> None:
        self._api = api
        self._node_name = node_name
        self._clock = clock
        self._static: dict[str, Json] = {}
        self._mirrors: dict[Place, Json] = {}
        self._statuses: dict[str, Json] = {}
        self._told: dict[str, str] = {}
        self._wake = asyncio.Event()

    # --- what should be, what is -------------------------------------------------------------------------------------------------

    def show(self, pod: Json) -> None:
        """That static Pod runs, or is about to."""
        self._static[pods.uid(pod)] = pod
        self._wake.set()

    def hide(self, uid: str) -> None:
        """Nothing of it is left."""
        self._static.pop(uid, None)
        self._statuses.pop(uid, None)
        self._told.pop(uid, None)
        self._wake.set()

    def observe(self, kind: str, mirror: Json) -> None:
        """The API tells of a mirror: ADDED, MODIFIED or DELETED."""
        held = self._mirrors.get(_place(mirror))
        if kind == "DELETED":
            if held is not None and pods.uid(held) == pods.uid(mirror):
                del self._mirrors[_place(mirror)]
        else:
            self._mirrors[_place(mirror)] = mirror
        self._wake.set()

    def status_of(self, pod: Json) -> Json:
        """What a mirror of that static Pod still says of it, from before this daemon."""
        held = self._mirrors.get(_place(pod))
        # One that has ended starts anew with the node: what is left of it in the runtime says whether it is to.
        known = held is not None and pods.mirror_of(held) == pods.uid(pod) and not pods.is_finished(held)
        return dict(pods.status(held)) if held is not None and known else {}

    def original(self, pod: Json) -> Json:
        """For the mirror of a static Pod of this node, the same under the UID that runs; any other Pod as it is. The annotation alone is no
        proof: whoever may create Pods can write it."""
        static = self._static.get(pods.mirror_of(pod))
        if static is None or _place(static) != _place(pod):
            return pod
        return {**pod, "metadata": {**pod["metadata"], "uid": pods.uid(static)}}

    # --- writes ------------------------------------------------------------------------------------------------------------------

    async def patch_pod_status(self, namespace: str, name: str, patch: Json) -> Json:
        uid = patch["metadata"]["uid"]
        static = self._static.get(uid)
        if static is None:
            return await self._api.patch_pod_status(namespace, name, patch)
        self._statuses[uid] = {key: value for key, value in (self._statuses.get(uid, {}) | patch["status"]).items() if value is not None}
        held = self._mirrors.get(_place(static))
        if held is None or self._told.get(uid) != pods.uid(held):
            # Told whole as soon as there is a mirror.
            self._wake.set()
            return {}
        try:
            return await self._api.patch_pod_status(namespace, name, {**patch, "metadata": {"uid": pods.uid(held)}})
        except (NotFound, Conflict):
            return {}

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Of a static Pod: its mirror goes by `hide`."""
        if uid not in self._static:
            await self._api.delete_pod(namespace, name, uid)

    # --- making the one the other ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Forever."""
        while True:
            self._wake.clear()
            if await self._settle():
                await self._wake.wait()
            else:
                try:
                    async with asyncio.timeout(_AGAIN):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _settle(self) -> bool:
        """Whether all is as it should be."""
        good = True
        wanted = {_place(each): each for each in self._static.values()}
        for place, held in list(self._mirrors.items()):
            static = wanted.get(place)
            if static is None or pods.mirror_of(held) != pods.uid(static) or pods.is_terminating(held):
                good = await self._try(self._remove(place, held), f"delete the mirror pod {place[0]}/{place[1]}") and good
        for place, static in wanted.items():
            if place not in self._mirrors:
                good = await self._try(self._create(place, static), f"create a mirror pod for {place[0]}/{place[1]}") and good
            elif pods.uid(static) in self._statuses and self._told.get(pods.uid(static)) != pods.uid(self._mirrors[place]):
                good = await self._try(self._tell(place, static), f"write the status of mirror pod {place[1]}") and good
        return good

    async def _try(self, work: Any, what: str) -> bool:  # noqa: ANN401 - a coroutine
        try:
            await work
        except (AlreadyExists, Conflict):
            # Somebody was faster: the watch tells.
            return False
        except PolongError as error:
            _log.warning("cannot %s: %s", what, error)
            return False
        return True

    async def _remove(self, place: Place, held: Json) -> None:
        await self._api.delete_pod(*place, pods.uid(held))
        self._mirrors.pop(place, None)

    async def _create(self, place: Place, static: Json) -> None:
        node = await self._api.get_node(self._node_name)
        self._mirrors[place] = await self._api.create_pod(staticpods.mirror(static, node))
        self._wake.set()

    async def _tell(self, place: Place, static: Json) -> None:
        mirror, uid = pods.uid(self._mirrors[place]), pods.uid(static)
        sent: Json = {}
        while (whole := dict(self._statuses.get(uid, {}))) != sent:
            await self._api.patch_pod_status(*place, {"metadata": {"uid": mirror}, "status": whole})
            sent = whole
        self._told[uid] = mirror


def _place(pod: Json) -> Place:
    return pods.namespace(pod), pods.name(pod)
