"""The addresses and node ports of Services: free ones are taken, and wished ones checked, in the write that stores the Service.

What is taken is read from the Services themselves, under a lock that is held until the new one is stored. Unlike Kubernetes there is no
allocation map that could go wrong. Source: pkg/registry/core/service/ipallocator, portallocator, storage/alloc.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from polong.api import status
from polong.api.admission.chain import Attempt, Json, Plugin
from polong.api.objectstore import ObjectStore
from polong.api.resources import fields
from polong.api.resources.services import Services
from polong.kit.errors import Cause, Conflict, NotFound, Unavailable
from polong.objects import service
from polong.objects.gvk import SERVICES

NODE_PORTS = range(30_000, 32_768)
_SERVICES = Services()


class ServiceAddresses(Plugin):
    def __init__(self, cidr: str) -> None:
        self._range = ipaddress.IPv4Network(cidr)
        self._lock = asyncio.Lock()

    async def validate(self, attempt: Attempt) -> None:
        if attempt.dry_run and self._concerns(attempt):
            await self._allocate(attempt)

    @asynccontextmanager
    async def storing(self, attempt: Attempt) -> AsyncIterator[None]:
        if not self._concerns(attempt):
            yield
            return
        async with self._lock:
            await self._allocate(attempt)
            yield

    def _concerns(self, attempt: Attempt) -> bool:
        return attempt.kind.resource == SERVICES and not attempt.subresource and not service.is_external(attempt.obj)

    async def _allocate(self, attempt: Attempt) -> None:
        mine = service.key(attempt.obj)
        others = [each for each in (await attempt.store.page(_SERVICES, "")).items if service.key(each) != mine]
        if not service.is_headless(attempt.obj):
            self._address(attempt, {service.cluster_ip(each) for each in others})
        if service.has_node_ports(attempt.obj) and attempt.obj["spec"].get("allocateLoadBalancerNodePorts") is not False:
            ports = (port for each in others for port in each["spec"].get("ports") or ())
            _node_ports(attempt, {(port["protocol"], port["nodePort"]) for port in ports if port.get("nodePort")})

    def _address(self, attempt: Attempt, taken: set[str]) -> None:
        spec = attempt.obj["spec"]
        wanted = spec.get("clusterIP") or ""
        if wanted and attempt.old is not None and service.cluster_ip(attempt.old) == wanted:
            return
        if not wanted:
            spec["clusterIP"] = wanted = self._free(taken)
            spec["clusterIPs"] = [wanted]
            return
        why = ""
        if ipaddress.ip_address(wanted) not in self._range:
            why = f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {self._range}"
        elif wanted in taken:
            why = "provided IP is already allocated"
        if why:
            cause = fields.invalid("spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: {why}")
            raise status.invalid(SERVICES, attempt.obj["metadata"]["name"], [cause])

    async def mend(self, store: ObjectStore, one: Json) -> None:
        """Give a Service another address whose own is of another range: it was restored from another node, or the Pod network changed."""
        address = service.cluster_ip(one)
        if not address or ipaddress.ip_address(address) in self._range:
            return
        async with self._lock:
            free = self._free({service.cluster_ip(each) for each in (await store.page(_SERVICES, "")).items})
            spec = {**one["spec"], "clusterIP": free, "clusterIPs": [free]}
            with contextlib.suppress(Conflict, NotFound):  # a newer version is on its way to whoever asked
                await store.update(_SERVICES, {**one, "spec": spec}, int(one["metadata"]["resourceVersion"]))

    def _free(self, taken: set[str]) -> str:
        """At random: an address that has just become free, and that somebody may still remember, is seldom given again at once."""
        first, count = int(self._range.network_address) + 1, self._range.num_addresses - 2
        start = random.randrange(count)
        for offset in range(count):
            address = str(ipaddress.IPv4Address(first + (start + offset) % count))
            if address not in taken:
                return address
        raise Unavailable(f"failed to allocate a serviceIP: range is full: all {count} addresses of {self._range} are taken")


def _node_ports(attempt: Attempt, taken: set[tuple[str, int]]) -> None:
    before = {
        (port["protocol"], port["nodePort"])
        for port in (attempt.old or {}).get("spec", {}).get("ports") or ()
        if port.get("nodePort") and service.has_node_ports(attempt.old or {})
    }
    causes: list[Cause] = []
    ports: list[Json] = attempt.obj["spec"].get("ports") or []
    used = taken | {(port["protocol"], port["nodePort"]) for port in ports if port.get("nodePort")}
    for index, port in enumerate(ports):
        wanted = port.get("nodePort") or 0
        path = f"{fields.at('spec.ports', index)}.nodePort"
        if not wanted:
            port["nodePort"] = _free_port(port["protocol"], used)
            used.add((port["protocol"], port["nodePort"]))
        elif (port["protocol"], wanted) in before:
            continue
        elif wanted not in NODE_PORTS:
            text = f"provided port is not in the valid range. The range of valid ports is {NODE_PORTS[0]}-{NODE_PORTS[-1]}"
            causes.append(fields.invalid(path, wanted, text))
        elif (port["protocol"], wanted) in taken:
            causes.append(fields.invalid(path, wanted, "provided port is already allocated"))
    if causes:
        raise status.invalid(SERVICES, attempt.obj["metadata"]["name"], causes)


def _free_port(protocol: str, used: set[tuple[str, int]]) -> int:
    start = random.randrange(len(NODE_PORTS))
    for offset in range(len(NODE_PORTS)):
        port = NODE_PORTS[(start + offset) % len(NODE_PORTS)]
        if (protocol, port) not in used:
            return port
    raise Unavailable("failed to allocate a nodePort: range is full")
