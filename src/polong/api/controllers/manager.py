"""All controllers, and who runs them."""

from __future__ import annotations

from polong.api.admission.resourcequota import ResourceQuota
from polong.api.controllers.contents import Contents
from polong.api.controllers.events import Expiry
from polong.api.controllers.namespaces import Endings
from polong.api.controllers.quotas import QuotaStatus
from polong.api.objectstore import ObjectStore
from polong.api.resources.registry import Registry
from polong.kit.clock import Clock
from polong.kit.tasks import Tasks


class Controllers:
    """`start` before the first request: what must always be there is there then."""

    def __init__(self, store: ObjectStore, registry: Registry, clock: Clock, quotas: ResourceQuota, root_ca: str) -> None:
        self._tasks = Tasks("controllers")
        self.contents = Contents(store, clock, root_ca)
        self.expiry = Expiry(store, clock)
        self.endings = Endings(store, registry, clock, self._tasks)
        self._quotas = QuotaStatus(store, clock, quotas)

    async def start(self) -> None:
        await self.contents.begin()
        await self.endings.resume()
        for name, work in (
            ("events", self.expiry.run()),
            ("new namespaces", self.contents.keep_namespaces()),
            ("default accounts", self.contents.keep_accounts()),
            ("root CA", self.contents.keep_root_ca()),
            ("changes of quotas", self._quotas.watch()),
            ("quotas", self._quotas.count()),
        ):
            _ = self._tasks.start(work, name)

    async def aclose(self) -> None:
        await self._tasks.aclose()
