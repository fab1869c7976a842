"""The Node object of this machine: registered once, kept true by heartbeats.

Source: kubelet nodestatus/setters.go; well-known labels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from polong.criapi.wire import v1
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import AlreadyExists, NotFound, PolongError
from polong.kubelet import pressure
from polong.kubelet.config import KubeletConfig
from polong.kubelet.events import Recorder
from polong.kubelet.host.facts import Facts
from polong.kubelet.ports import Api, ImageService, RuntimeService
from polong.objects import conditions

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_MOST_IMAGES = 50


class NodeStatus:
    def __init__(
        self,
        config: KubeletConfig,
        facts: Facts,
        api: Api,
        services: tuple[RuntimeService, ImageService],
        recorder: Recorder,
        clock: Clock,
        pressures: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._config = config
        self._facts = facts
        self._api = api
        self._runtime, self._images = services
        self._pressures = pressures
        self._stopping = ""
        self._recorder = recorder
        self._clock = clock
        self._conditions: list[Json] = []
        self._written: Json = {}
        self._due = 0.0

    async def register(self) -> None:
        """Create the Node where it is missing, and write its first status."""
        name = self._config.node_name
        try:
            held = await self._api.get_node(name)
        except NotFound:
            try:
                held = await self._api.create_node(self._object())
            except AlreadyExists:
                held = await self._api.get_node(name)
        else:
            await self._api.patch_node(name, {"metadata": {"labels": self._labels()}, "spec": self._spec()}, status=False)
        self._conditions = list((held.get("status") or {}).get("conditions") or ())
        await self.beat()
        self._recorder.node("Starting", "Starting kubelet.")

    async def run(self) -> None:
        """Forever."""
        while True:
            await self._clock.sleep(self._config.heartbeat)
            try:
                await self.beat()
            except NotFound:
                await self.register()
            except PolongError as error:
                _log.warning("cannot write the status of node %s: %s", self._config.node_name, error)

    async def beat(self) -> None:
        """One status: capacity, conditions, images. Written where something of it changed, and now and then: that the node lives is
        told by its lease."""
        version = await self._runtime.version(v1.VersionRequest())
        ready, features = await self._ready()
        self._conditions = self._fresh((False, "KubeletNotReady", self._stopping) if self._stopping else ready)
        status = {
            "capacity": self._capacity(),
            "allocatable": self._allocatable(),
            "conditions": self._conditions,
            "addresses": [{"type": "InternalIP", "address": each} for each in self._facts.ips]
            + [{"type": "Hostname", "address": self._facts.hostname}],
            "nodeInfo": self._info(version),
            "images": await self._image_list(),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            **features,
        }
        told = {**status, "conditions": [{**each, "lastHeartbeatTime": ""} for each in self._conditions]}
        now = self._clock.monotonic()
        if told == self._written and now < self._due:
            # Somebody may have deleted the Node: NotFound has it made again.
            await self._api.get_node(self._config.node_name)
            return
        await self._api.patch_node(self._config.node_name, {"status": status}, status=True)
        self._written, self._due = told, now + self._config.report

    async def going(self, why: str) -> None:
        """Not ready any more, for that reason; told at once."""
        self._stopping = why
        self._recorder.node("NodeShutdown", "Shutdown manager detected shutdown event")
        try:
            await self.beat()
        except PolongError as error:
            _log.warning("cannot write the status of node %s: %s", self._config.node_name, error)

    async def _ready(self) -> tuple[tuple[bool, str, str], Json]:
        """The Ready condition, and what the runtime says that it can do."""
        try:
            answer = await self._runtime.status(v1.StatusRequest())
        except PolongError as error:
            return (False, "KubeletNotReady", f"container runtime status check may not have completed yet: {error}"), {}
        return _readiness(answer), _features(answer)

    def _fresh(self, ready: tuple[bool, str, str]) -> list[Json]:
        now = rfc3339(self._clock.now())
        short = self._pressures()
        fresh: list[Json] = []
        for kind in pressure.HEALTHY:
            reason, text = (pressure.SHORT if kind in short else pressure.HEALTHY)[kind]
            fresh.append({"type": kind, "status": "True" if kind in short else "False", "reason": reason, "message": text})
        holds, reason, message = ready
        fresh.append({"type": "Ready", "status": "True" if holds else "False", "reason": reason, "message": message})
        was = conditions.find(self._conditions, "Ready")
        if was is not None and was.get("status") != fresh[-1]["status"]:
            word = "NodeReady" if holds else "NodeNotReady"
            self._recorder.node(word, f"Node {self._config.node_name} status is now: {word}")
        result = self._conditions
        for each in fresh:
            result = conditions.with_condition(result, {**each, "lastHeartbeatTime": now}, now)
        return result

    def _object(self) -> Json:
        return {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {"name": self._config.node_name, "labels": self._labels()},
            "spec": self._spec(),
        }

    def _spec(self) -> Json:
        cidr = self._config.pod_cidr
        return {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {}

    def _labels(self) -> Json:
        return {
            "kubernetes.io/hostname": self._config.node_name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": self._facts.architecture,
            "node-role.kubernetes.io/control-plane": "",
        }

    def _capacity(self) -> Json:
        return {
            "cpu": str(self._facts.milli_cpu // 1000),
            "memory": f"{self._facts.memory // 1024}Ki",
            "ephemeral-storage": f"{self._facts.disk // 1024}Ki",
            "pods": str(self._config.max_pods),
        }

    def _allocatable(self) -> Json:
        """Capacity less what the kubelet's default eviction threshold keeps free."""
        return {
            **self._capacity(),
            "memory": f"{self._facts.allocatable_memory // 1024}Ki",
            "ephemeral-storage": str(self._facts.allocatable_disk),
        }

    def _info(self, version: v1.VersionResponse) -> Json:
        facts = self._facts
        return {
            "machineID": facts.machine_id,
            "systemUUID": facts.system_uuid or facts.machine_id,
            "bootID": facts.boot_id,
            "kernelVersion": facts.kernel,
            "osImage": facts.os_image,
            "containerRuntimeVersion": f"{version.runtime_name}://{version.runtime_version}",
            "kubeletVersion": self._config.version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": facts.architecture,
        }

    async def _image_list(self) -> list[Json]:
        try:
            answer = await self._images.list_images(v1.ListImagesRequest())
        except PolongError:
            return []
        largest = sorted(answer.images, key=lambda each: each.size, reverse=True)[:_MOST_IMAGES]
        return [{"names": [*each.repo_digests, *each.repo_tags], "sizeBytes": each.size} for each in largest]


def _readiness(answer: v1.StatusResponse) -> tuple[bool, str, str]:
    for wanted, text in (("RuntimeReady", "container runtime not ready"), ("NetworkReady", "container runtime network not ready")):
        found = next((each for each in answer.status.conditions if each.type == wanted), None)
        if found is None or not found.status:
            reason, message = (found.reason, found.message) if found is not None else ("", "no condition")
            return False, "KubeletNotReady", f"{text}: {wanted}=false reason:{reason} message:{message}"
    return True, "KubeletReady", "kubelet is posting ready status"


def _features(answer: v1.StatusResponse) -> Json:
    """Parts of NodeStatus."""
    handlers = [
        {
            "name": each.name,
            "features": {
                "recursiveReadOnlyMounts": each.features.recursive_read_only_mounts,
                "userNamespaces": each.features.user_namespaces,
            },
        }
        for each in answer.runtime_handlers
    ]
    told: Json = {"features": {"supplementalGroupsPolicy": answer.features.supplemental_groups_policy}}
    return told | {"runtimeHandlers": handlers} if handlers else told
