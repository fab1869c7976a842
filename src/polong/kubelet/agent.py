"""The kubelet: starts and owns everything that makes Pods of this node run.

One worker a Pod UID. The watch of the API feeds them specs, the runtime's events wake them; nothing else decides.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Any

from polong.criapi.ports import Programs
from polong.kit.clock import Clock, SystemClock
from polong.kit.errors import PolongError
from polong.kit.tasks import Tasks
from polong.kubelet import admission, shutdown
from polong.kubelet.actions import Actions, Node
from polong.kubelet.allocation import Allocations
from polong.kubelet.config import KubeletConfig
from polong.kubelet.decisions import Verdict
from polong.kubelet.directory import Directory
from polong.kubelet.downward import Allocatable
from polong.kubelet.events import Recorder
from polong.kubelet.eviction import Eviction
from polong.kubelet.gc import Collector
from polong.kubelet.handlers.exec import Exec
from polong.kubelet.handlers.http import Http
from polong.kubelet.hooks import Hooks
from polong.kubelet.host import facts, load
from polong.kubelet.host.cgroups import PodCgroups
from polong.kubelet.imagegc import ImageCollector
from polong.kubelet.images import Images
from polong.kubelet.inspection import Inspection
from polong.kubelet.lease import NodeLease
from polong.kubelet.localstorage import LocalStorage
from polong.kubelet.logrotation import LogRotation
from polong.kubelet.metrics import NodeMetrics
from polong.kubelet.mirrors import Mirrors
from polong.kubelet.node import NodeStatus
from polong.kubelet.pleg import Pleg
from polong.kubelet.ports import Api, ImageService, RuntimeService
from polong.kubelet.probes.prober import Prober
from polong.kubelet.references import References
from polong.kubelet.refresh import Refresher
from polong.kubelet.reload import Reloader
from polong.kubelet.reports import Reports
from polong.kubelet.resourcemetrics import ResourceMetrics
from polong.kubelet.resources import Machine
from polong.kubelet.staticpods import Complete
from polong.kubelet.statics import Statics
from polong.kubelet.streams import NodeStreams
from polong.kubelet.streams.processes import PodProcesses
from polong.kubelet.volumes import Feeds, Volumes
from polong.kubelet.volumes.tokens import TokenManager
from polong.kubelet.worker import Parts, Worker, orphan
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_AGAIN = 1.0
_MARGIN = 5.0
"""Seconds beyond their grace that Pods may take to be gone."""


class Kubelet:
    """One node's agent. `start` registers the Node and adopts what already runs; `aclose` stops working and leaves every Pod running.

    `streams` satisfies `api.ports.Node`, `inspection` `api.ports.Inspector`, `metrics` `api.ports.Metrics`.
    """

    def __init__(
        self,
        config: KubeletConfig,
        api: Api,
        runtime: RuntimeService,
        images: ImageService,
        *,
        clock: Clock | None = None,
        cgroups: PodCgroups | None = None,
        programs: Programs | None = None,
        complete: Complete = dict,
    ) -> None:
        """`complete` makes of a manifest a Pod that the API could hold (`staticpods.Complete`)."""
        self._config = config
        self._clock = clock or SystemClock()
        self._api = api
        found = facts.gather(config.root_dir, config.node_ip)
        self._has_apparmor = found.apparmor
        self._recorder = Recorder(api, config.node_name, self._clock)
        self._mirrors = Mirrors(api, config.node_name, self._clock)
        self._statics = Statics(config, self, self._mirrors, self._recorder, self._clock, complete)
        self._reports = Reports(self._mirrors, self._clock)
        self._pleg = Pleg(runtime, self._clock, self._notify, config.relist)
        self._cgroups = cgroups or PodCgroups(config.cgroup_parent, pids=config.pod_pids or min(found.pids // 2, 32_768))
        self._references = References(api, self._clock, self._referred)
        self._images = Images(images, self._recorder, self._clock, self._references)
        allocatable = Allocatable(found.milli_cpu, found.allocatable_memory, found.allocatable_disk)
        self._directory = Directory(api, self._clock, self._renamed)
        feeds = Feeds(self._references, TokenManager(api, self._clock), allocatable, self._clock, self._directory.names)
        volumes = self._volumes = Volumes(config.root_dir, feeds)
        machine = Machine(found.memory, found.milli_cpu, found.lowest_score)
        resolver = config.dns if config.dns.servers else facts.resolver()
        node = Node(machine, found.ips, resolver, allocatable, api.runtime_handler, self._directory.variables)
        exec_, http = Exec(runtime), Http()
        self._prober = Prober(exec_, http, self._recorder, self._clock, found.ips)
        self._hooks = Hooks(runtime, exec_, http, self._recorder, self._clock)
        files = (volumes, self._cgroups, self._references)
        self._allocations = Allocations(volumes.directory, allocatable, self._recorder, self._reconsider)
        actions = Actions(config, runtime, self._images, self._hooks, files, self._recorder, self._clock, node, self._allocations)
        self._parts = Parts(
            self._mirrors, self._pleg, actions, self._reports, self._recorder, self._clock, found.ips, self._allocations, self._prober
        )
        self._image_collector = ImageCollector(config, (runtime, images), self._recorder, self._clock)
        self._local_storage = LocalStorage(config, runtime, volumes, self._recorder, self._clock)
        self._eviction = Eviction(
            config, runtime, self._clock, self._recorder, lambda: load.levels(config.root_dir), self._image_collector.collect
        )
        services = (runtime, images)
        self._node = NodeStatus(config, found, api, services, self._recorder, self._clock, self._eviction.conditions)
        self._lease = NodeLease(api, config.node_name, self._clock)
        self._logs = LogRotation(config, runtime, self._clock)
        self._collector = Collector(volumes, self._cgroups, config.log_dir, self._known, api.claimed_volumes, self._clock)
        processes = PodProcesses(
            runtime, self._pleg, self._recorder, self._restart, config.cgroup_parent, clock=self._clock, commands=exec_.commands
        )
        self._refresher = Refresher(volumes, Reloader(processes, self._recorder, self._clock), self._recorder, self._clock)
        self.metrics = NodeMetrics(config.node_name, runtime, processes, self._recorder)
        original = self._mirrors.original
        self.streams = NodeStreams(runtime, self._pleg, config.log_dir, self._clock, processes, original)
        self.resource_metrics = ResourceMetrics(runtime, self._clock, original)
        self.inspection = Inspection(runtime, self._pleg, programs, original=original)
        self._workers: dict[str, Worker] = {}
        self._held: set[str] = set()
        self._gone: set[str] = set()
        self._going_down = False
        self._synced = asyncio.Event()
        self._tasks = Tasks("kubelet")

    # --- life --------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when the Node is registered and the Pods of an earlier run are adopted; raises where that fails."""
        for each in (self._config.root_dir, self._config.log_dir):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._spawn(self._recorder.run(), "events")
        await self._node.register()
        self._directory.start()
        self._held = await self._pleg.held()
        self._spawn(self._pleg.events(), "runtime events")
        await self._statics.load()
        self._spawn(self._watch(), "watch")
        await self._synced.wait()
        self._spawn(self._pleg.relist(), "relist")
        self._spawn(self._statics.run(), "static Pods")
        self._spawn(self._mirrors.run(), "mirror Pods")
        self._spawn(self._node.run(), "node status")
        self._spawn(self._lease.run(), "node lease")
        self._spawn(self._logs.run(), "log rotation")
        self._spawn(self._image_collector.run(), "image collection")
        self._spawn(self._eviction.run(self._active, self._fail), "eviction")
        self._spawn(self._local_storage.run(self._active, self._fail), "local storage")
        self._spawn(self._collector.run(self._config.collect), "garbage collection")

    async def aclose(self) -> None:
        """Stop the agent, not the Pods. Idempotent."""
        await self._tasks.aclose()
        await self._hooks.aclose()
        await self._prober.aclose()
        await self._refresher.aclose()
        await self._references.aclose()
        await self._directory.aclose()
        await self._images.aclose()
        await self._reports.aclose()

    async def shutdown(self) -> None:
        """The machine goes down: nothing is started any more, Pods end group by group, and their last statuses are written. They stay
        in the API, Failed."""
        self._going_down = True
        await self._node.going(shutdown.NOT_READY)
        for group in shutdown.groups(self._config.shutdown, self._active()):
            _log.info("the node goes down: ending %d Pods within %d s", len(group.pods), shutdown.longest(group))
            for pod in group.pods:
                self._fail(pods.uid(pod), shutdown.verdict(pod, group))
            deadline = self._clock.monotonic() + shutdown.longest(group) + _MARGIN
            workers = [self._workers[uid] for each in group.pods if (uid := pods.uid(each)) in self._workers]
            while not all(each.over or each.uid not in self._workers for each in workers):
                if self._clock.monotonic() >= deadline:
                    _log.error("not all Pods have ended in time: the next group's time has come")
                    break
                await self._clock.sleep(0.05)
            for each in workers:
                await self._reports.flush(each.uid)

    async def drained(self, timeout: float) -> bool:
        """Wait until no Pod is left on this node (they were deleted through the API, or are strangers, or static and end now); False after
        `timeout` seconds and the grace of static Pods."""
        deadline = self._clock.monotonic() + timeout + self._statics.stop()
        while self._workers or await self._pleg.held():
            if self._clock.monotonic() >= deadline:
                return False
            await self._clock.sleep(0.05)
        await self._collector.collect()
        await self._cgroups.remove_all()
        return True

    def _spawn(self, coroutine: Any, name: str) -> None:  # noqa: ANN401 - any coroutine
        _ = self._tasks.start(coroutine, name)

    # --- the API tells -----------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                async with aclosing(self._api.pods(self._config.node_name)) as changes:  # type: ignore[type-var]
                    async for kind, pod in changes:
                        self._told(kind, pod)
            except PolongError as error:
                _log.error("cannot watch the Pods of node %s: %s", self._config.node_name, error)
            await self._clock.sleep(_AGAIN)

    def _told(self, kind: str, pod: Json) -> None:
        if kind == "SYNCED":
            self._statics.settle()
            self._adopt()
            return
        if pods.mirror_of(pod):
            self._mirrors.observe(kind, pod)
            return
        uid = pods.uid(pod)
        worker = self._workers.get(uid)
        if kind == "DELETED":
            self._gone.discard(uid)
            self._unfollow(uid)
            if worker is not None:
                worker.update(pod)
                worker.vanish()
            return
        if worker is not None:
            self._follow(pod)
            worker.update(pod)
        elif uid not in self._gone:
            self._follow(pod)
            self._work(pod)

    def _follow(self, pod: Json) -> None:
        """What it refers to is watched while it may still need it."""
        if pods.is_finished(pod):
            self._unfollow(pods.uid(pod))
        else:
            self._references.follow(pod)
            self._refresher.follow(pod)

    def _unfollow(self, uid: str) -> None:
        self._refresher.forget(uid)
        self._references.forget(uid)

    def _referred(self, uid: str) -> None:
        """Something that the Pod refers to came, changed or went."""
        self._refresher.wake(uid)
        self._reconsider(uid)

    def _reconsider(self, uid: str) -> None:
        if (worker := self._workers.get(uid)) is not None:
            worker.reconsider()

    async def _renamed(self) -> None:
        """Services came, changed or went."""
        if running := self._active():
            await self._volumes.refresh_hosts(running)

    def _work(self, pod: Json, *, vanished: bool = False) -> None:
        uid = pods.uid(pod)
        if not uid or uid in self._workers:
            return
        worker = Worker(pod, self._parts, self._done, vanished=vanished)
        self._workers[uid] = worker
        if not vanished and not pods.status(pod).get("startTime") and (verdict := self._refusal(pod)) is not None:
            worker.fail(verdict)
        self._spawn(worker.run(), f"Pod {pods.namespace(pod)}/{pods.name(pod)}")

    def _refusal(self, pod: Json) -> Verdict | None:
        """Why a Pod that comes now is not started."""
        if self._going_down:
            return shutdown.REFUSED
        found = admission.refusal(pod, unsafe_sysctls=self._config.allowed_unsafe_sysctls, has_apparmor=self._has_apparmor)
        if found is None:
            return self._eviction.refusal(pod)
        self._recorder.pod(pod, found.reason, found.message, warning=True)
        return Verdict(found.reason, f"Pod was rejected: {found.message}", 0)

    def _done(self, uid: str) -> None:
        worker = self._workers.pop(uid, None)
        self._allocations.release(uid)
        self._unfollow(uid)
        if worker is not None and pods.is_static(worker.pod):
            self._statics.gone(uid)
        elif worker is not None and not worker.vanished:
            # Echoes of its last statuses are still on their way, until the watch tells that it is deleted.
            self._gone.add(uid)

    def _active(self) -> list[Json]:
        return [each.pod for each in self._workers.values() if not each.vanished and not pods.is_finished(each.pod)]

    def _fail(self, uid: str, verdict: Verdict) -> None:
        if (worker := self._workers.get(uid)) is not None:
            worker.fail(verdict)

    def _restart(self, uid: str, container: str, container_id: str) -> bool:
        worker = self._workers.get(uid)
        if worker is None or worker.vanished:
            return False
        worker.restart(container, container_id)
        return True

    # --- the node's own files tell ---------------------------------------------------------------------------------------------------

    def running(self) -> dict[str, Json]:
        """The Pods of all workers, by UID."""
        return {uid: each.pod for uid, each in self._workers.items()}

    def begin(self, pod: Json) -> None:
        self._work(pod)

    def end(self, pod: Json) -> None:
        if (worker := self._workers.get(pods.uid(pod))) is not None:
            worker.update(pod)

    # --- the runtime tells -------------------------------------------------------------------------------------------------------

    def _notify(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.poke()
        elif self._synced.is_set():
            self._spawn(self._judge(uid), f"stranger {uid}")

    def _adopt(self) -> None:
        """After the first list: what the runtime holds and the API does not know has lost its owner."""
        if self._synced.is_set():
            return
        self._synced.set()
        for uid in self._held - self._workers.keys():
            self._spawn(self._judge(uid), f"stranger {uid}")

    async def _judge(self, uid: str) -> None:
        """End a Pod that nobody knows, unless it is just going."""
        seen = await self._pleg.observe(uid)
        if (seen.sandboxes or seen.containers) and uid not in self._workers:
            _log.warning("Pod %s/%s (%s) runs here and is not known to the API: ending it", seen.namespace, seen.name, uid)
            self._work(orphan(uid, seen), vanished=True)

    def _known(self, uid: str) -> bool:
        return uid in self._workers or not self._synced.is_set()
