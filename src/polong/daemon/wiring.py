"""The graph of objects, built once, here and nowhere else."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
from pathlib import Path
from typing import Any

import polong
from polong.api.app import Service
from polong.api.auditlog import AuditLog
from polong.api.http import Server
from polong.api.resources import manifest
from polong.api.serviceaccounttokens import ISSUER
from polong.api.tokens import Tokens
from polong.client.rest import Client
from polong.cri.service import CriService
from polong.daemon import inprocess
from polong.daemon.config import Config
from polong.daemon.pki import Credentials, serving_hosts
from polong.daemon.runtime import RuntimeParts
from polong.images.admin import ImageAdmin
from polong.kit.clock import SystemClock, rfc3339
from polong.kit.errors import FailedPrecondition, Invalid, Unavailable
from polong.kubelet import configuration
from polong.kubelet.agent import Kubelet
from polong.kubelet.apiclient import ApiClient
from polong.kubelet.config import KubeletConfig
from polong.objects import yaml
from polong.proxy.proxier import Proxier
from polong.store import SQLiteStorage, Storage

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_DRAIN = 5.0
_HTTPS = 443
_HOSTS = Path("/etc/containers/certs.d")


class Node:
    """Everything of one node. `start` brings it up in order; the front (API, kubelet) and the back (runtime, store) close apart, so that
    a stop that clears can look at the runtime in between."""

    def __init__(self, config: Config, credentials: Credentials) -> None:
        self._config = config
        self._credentials = credentials
        self._front = contextlib.AsyncExitStack()
        self._back = contextlib.AsyncExitStack()
        self._kubelet: Kubelet | None = None
        self._runtime: RuntimeParts | None = None

    async def start(self) -> None:
        """Returns when the API answers and the node is registered. Raises what stands in the way; then `aclose_front` and `aclose`."""
        config = self._config
        runtime = self._runtime = RuntimeParts(config)
        self._settings = _configured(config)
        for directory in (config.log_dir, config.kubelet_dir):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        storage = await SQLiteStorage.open(config.database)
        self._back.push_async_callback(storage.aclose)
        self._back.push_async_callback(runtime.aclose)
        await runtime.start()
        service = await self._api(storage)
        service.images = ImageAdmin(runtime.images)
        await self._agent(service, runtime.cri)

    async def _api(self, storage: Storage) -> Service:
        config = self._config
        tokens = Tokens(ISSUER, self._credentials.token_key)
        service = Service(
            storage, node_name=config.node_name, root_ca=self._credentials.ca.read_text(), tokens=tokens, service_cidr=config.service_cidr
        )
        await service.start()
        self._front.push_async_callback(service.aclose)
        audit = AuditLog(config.audit_log)
        audit.start()
        self._front.push_async_callback(audit.aclose)
        server = Server(service, names=serving_hosts(config.gateway), audit=audit)
        credentials = self._credentials
        try:
            await server.start(
                config.host, config.port, certificate=credentials.server_cert, key=credentials.server_key, client_ca=credentials.ca
            )
        except OSError as error:
            raise Unavailable(f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another port with --port") from error
        self._front.push_async_callback(server.stop)
        await self._for_pods(server, service)
        return service

    async def _for_pods(self, server: Server, service: Service) -> None:
        """Answer Pods at the address where they find the API (docs/decisions/0017); without it they run as well."""
        config = self._config
        for port in (_HTTPS, config.port):
            try:
                bound = await server.listen_for(ipaddress.IPv4Network(config.pod_cidr), config.gateway, port)
            except OSError as error:
                _log.warning("Pods cannot reach the API at %s:%d: %s", config.gateway, port, error.strerror)
            else:
                await service.controllers.services.announce(config.gateway, bound)
                return

    async def _agent(self, service: Service, cri: CriService) -> None:
        config = self._config
        user = inprocess.node_user(config.node_name)
        client = Client(inprocess.transport(service.handle, user), headers={"user-agent": f"polong-kubelet/{polong.__version__}"})
        api = ApiClient(client)

        def complete(document: Any) -> Json:  # noqa: ANN401 - any YAML value
            return manifest.complete(document, config.node_name, rfc3339(SystemClock().now()))

        kubelet = self._kubelet = Kubelet(self._settings, api, cri, cri, programs=cri, complete=complete)
        self._front.push_async_callback(kubelet.aclose)
        service.node = kubelet.streams
        service.inspector = kubelet.inspection
        service.resource_metrics = kubelet.resource_metrics
        service.node_metrics = kubelet.metrics
        await kubelet.start()
        if self._runtime is not None:
            proxier = Proxier(api, self._runtime.network)
            self._front.push_async_callback(proxier.aclose)
            proxier.start()

    async def shutdown(self) -> None:
        """End the Pods as if the machine went down."""
        if self._kubelet is not None:
            await self._kubelet.shutdown()

    async def drained(self) -> bool:
        """Whether no Pod is left (`polong down` has deleted them all); waits a moment for the last one to be cleaned up."""
        return self._kubelet is None or await self._kubelet.drained(_DRAIN)

    async def aclose_front(self) -> None:
        """Nobody may ask any more, nothing is decided any more. Pods run on."""
        await self._front.aclose()

    async def aclose(self) -> None:
        await self._back.aclose()

    async def clear(self) -> None:
        """After `aclose`, with no Pod left: take down what only a running node needs, network, cgroups, run directory."""
        if self._runtime is not None:
            await self._runtime.clear()


def _configured(config: Config) -> KubeletConfig:
    """Invalid or FailedPrecondition where the file of the user cannot be taken."""
    defaults = KubeletConfig(
        node_name=config.node_name,
        root_dir=config.kubelet_dir,
        log_dir=config.log_dir,
        cgroup_parent=config.cgroup_parent,
        pod_cidr=config.pod_cidr,
    )
    file = config.kubelet_config
    if file is None:
        return defaults
    try:
        settings = configuration.configured(defaults, yaml.load_one(file.read_bytes(), str(file)))
    except OSError as error:
        raise FailedPrecondition(f"cannot read the configuration {file}: {error.strerror}") from error
    except Invalid as error:
        raise Invalid(f"{file}: {error}") from error
    # As the kubelet has it: a path is relative to the file that names it.
    return settings if settings.static_pods is None else dataclasses.replace(settings, static_pods=file.parent / settings.static_pods)
