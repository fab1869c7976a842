"""All controllers, and who runs them."""

from __future__ import annotations

from polong.api.admission.resourcequota import ResourceQuota
from polong.api.admission.serviceaddresses import ServiceAddresses
from polong.api.controllers.claims import Claims
from polong.api.controllers.contents import Contents
from polong.api.controllers.events import Expiry
from polong.api.controllers.namespaces import Endings
from polong.api.controllers.nodes import NodeTaints
from polong.api.controllers.quotas import QuotaStatus
from polong.api.controllers.services import ServiceEndpoints
from polong.api.controllers.taints import TaintEviction
from polong.api.objectstore import ObjectStore
from polong.api.resources.registry import Registry
from polong.api.scheduling.scheduler import Scheduler
from polong.kit.clock import Clock
from polong.kit.tasks import Tasks


class Controllers:
    """`start` before the first request: what must always be there is there then."""

    def __init__(
        self,
        store: ObjectStore,
        registry: Registry,
        clock: Clock,
        shared: tuple[ResourceQuota, Scheduler, ServiceAddresses],
        root_ca: str,
    ) -> None:
        """`shared` with admission."""
        quotas, scheduler, addresses = shared
        self._tasks = Tasks("controllers")
        self.contents = Contents(store, clock, root_ca)
        self.expiry = Expiry(store, clock)
        self.endings = Endings(store, registry, clock, self._tasks)
        self._store = store
        self._scheduler = scheduler
        pods = registry.find("", "v1", "pods")
        assert pods is not None
        self._taints = TaintEviction(store, pods, clock)
        self._claims = Claims(store, pods, clock)
        self.services = ServiceEndpoints(store, pods, clock, addresses)
        self._quotas = QuotaStatus(store, clock, quotas)

    async def start(self) -> None:
        await self.contents.begin()
        await self._scheduler.begin()
        await self.endings.resume()
        for name, work in (
            ("events", self.expiry.run()),
            ("new namespaces", self.contents.keep_namespaces()),
            ("default accounts", self.contents.keep_accounts()),
            ("root CA", self.contents.keep_root_ca()),
            ("changes of quotas", self._quotas.watch()),
            ("quotas", self._quotas.count()),
            ("Pods to place", self._scheduler.watch_pods()),
            ("nodes to place on", self._scheduler.watch_nodes()),
            ("labels of namespaces", self._scheduler.watch_namespaces()),
            ("claims that Pods wait for", self._scheduler.watch_claims()),
            ("taints of nodes", NodeTaints(self._store).run()),
            ("nodes with NoExecute", self._taints.watch_nodes()),
            ("Pods under NoExecute", self._taints.watch_pods()),
            ("evictions", self._taints.run()),
            ("claims", self._claims.watch_claims()),
            ("users of claims", self._claims.watch_pods()),
            ("scheduler", self._scheduler.run()),
            ("Services", self.services.watch_services()),
            ("Endpoints", self.services.watch_endpoints()),
            ("EndpointSlices", self.services.watch_slices()),
            ("Pods of Services", self.services.watch_pods()),
            ("endpoints of Services", self.services.run()),
        ):
            _ = self._tasks.start(work, name)

    async def aclose(self) -> None:
        await self._tasks.aclose()
