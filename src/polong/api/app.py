"""The one door: `Service.handle`. Whoever comes in, over a wire or in process, is authorised, understood and answered here."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from polong import __version__
from polong.api import (
    administration,
    auth,
    backups,
    discovery,
    inspection,
    metrics,
    negotiate,
    nodeauthorizer,
    openapi_v2,
    paths,
    podeviction,
    podlog,
    podproxy,
    podstreams,
    processes,
    resourcemetrics,
    serviceproxy,
    status,
)
from polong.api.admission import plugins
from polong.api.admission.resourcequota import ResourceQuota
from polong.api.admission.serviceaddresses import ServiceAddresses
from polong.api.authorization import defaults
from polong.api.authorization.authorizer import Authorizer, attributes, refusal
from polong.api.authorization.rbac import Rbac
from polong.api.controllers.manager import Controllers
from polong.api.negotiate import Form
from polong.api.objectstore import ObjectStore
from polong.api.openapi import OpenApi
from polong.api.paths import Target
from polong.api.ports import Images, Inspector, Metrics, Node, ResourceMetrics
from polong.api.resources import reviews
from polong.api.resources.endpoints import EndpointSlices
from polong.api.resources.kind import Kind
from polong.api.resources.pods import Pods
from polong.api.resources.rbac import ClusterRoles
from polong.api.resources.registry import Registry
from polong.api.reviews import Reviews
from polong.api.scheduling.scheduler import Scheduler
from polong.api.service import Request, Response
from polong.api.serviceaccounttokens import ISSUER, Accounts
from polong.api.tokens import Tokens
from polong.api.verbs.call import Call
from polong.api.verbs.create import create
from polong.api.verbs.delete import delete, deletecollection
from polong.api.verbs.get import get
from polong.api.verbs.list import list_
from polong.api.verbs.patch import patch
from polong.api.verbs.update import update
from polong.api.verbs.watch import watch
from polong.kit.clock import Clock, SystemClock, rfc3339
from polong.kit.errors import BadRequest, Unavailable, Unsupported
from polong.kit.tasks import Tasks
from polong.objects import gvk, podreferences
from polong.store.interface import Storage

Json = dict[str, Any]

KUBERNETES = ("1", "33", "0")
"""The version whose behaviour this API follows; kubectl warns where its own is more than one minor away."""

SERVICE_CIDR = "10.96.0.0/20"
"""Where nobody says otherwise; what leads the packets is somebody else's work (daemon)."""

_VERBS: Mapping[str, Callable[[Call], Awaitable[Response]]] = {
    "create": create,
    "delete": delete,
    "deletecollection": deletecollection,
    "get": get,
    "list": list_,
    "patch": patch,
    "update": update,
    "watch": watch,
}
_FORMS = {"list": negotiate.LIST_FORMS, "watch": negotiate.WATCH_FORMS, "deletecollection": negotiate.LIST_FORMS}
_OWN = frozenset({"pods", processes.HOST, *administration.RESOURCES, *backups.RESOURCES})
_READS = frozenset({"get", "list", "watch"})
# A GET that runs commands, or reads what lies in a container, is no read.
_ALWAYS_CREATE = podstreams.STREAMS | {"files"}
_OIDC = ("/.well-known/openid-configuration", "/openid/v1/jwks")
_TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


class Service:
    """`start` before the first request, `aclose` after the last. `node` and `images` may be set later than that. `root_ca` is the PEM by
    which clients know this API: each namespace holds it."""

    def __init__(
        self,
        storage: Storage,
        *,
        node_name: str,
        node: Node | None = None,
        images: Images | None = None,
        clock: Clock | None = None,
        root_ca: str = "",
        tokens: Tokens | None = None,
        service_cidr: str = SERVICE_CIDR,
    ) -> None:
        """Without `tokens`, those that are given end with this object. Services get addresses of `service_cidr`."""
        self.node = node
        self.images = images
        self.inspector: Inspector | None = None
        self.resource_metrics: ResourceMetrics | None = None
        self.node_metrics: Metrics | None = None
        self._node_name = node_name
        self._clock = clock or SystemClock()
        self._registry = Registry(node_name)
        self._store = ObjectStore(storage)
        self._authorizer = Authorizer(Rbac(self._store), node_name)
        self._accounts = Accounts(self._store, Pods(node_name), tokens or Tokens(ISSUER), self._clock)
        self.authentication = auth.Authentication(self._accounts, self._authorizer)
        self._reviews = Reviews(self._authorizer, self._accounts)
        quotas = ResourceQuota(self._registry)
        pods = Pods(node_name)
        scheduler = Scheduler(self._store, pods, self._clock, pods.own_node())
        addresses = ServiceAddresses(service_cidr)
        self._admission = plugins.chain(self._authorizer, pods, quotas, scheduler, lambda: self.images, addresses)
        self.controllers = Controllers(self._store, self._registry, self._clock, (quotas, scheduler, addresses), root_ca)
        self._discovery = discovery.Discovery(self._registry)
        self._openapi = OpenApi(self._registry, version()["gitVersion"])
        self._metrics = metrics.ApiMetrics(self._is_known, version())
        self._tasks = Tasks("api")

    async def start(self) -> None:
        await self.controllers.start()
        await defaults.ensure(self._store, rfc3339(self._clock.now()))
        await self._authorizer.rbac.aggregate()

    async def aclose(self) -> None:
        await self.controllers.aclose()
        await self._tasks.aclose()

    def require_node(self) -> Node:
        if self.node is None:
            raise Unavailable("the node is not running yet: try again in a moment")
        return self.node

    def streams_body(self, method: str, path: str) -> bool:
        """Whether this request's body is to be handed over as a stream, unbounded."""
        return (
            administration.streams_body(method, path)
            or backups.streams_body(method, path)
            or inspection.streams_body(method, path)
            or podproxy.streams_body(path)
        )

    async def handle(self, request: Request) -> Response:
        """The answer; PolongError (see objects/status.py) where there is none."""
        return await self._metrics.measured(request, self._answer)

    async def _answer(self, request: Request) -> Response:
        target = paths.parse(paths.proxied(request.path)[0])
        query = dict(reversed(list(request.query)))
        if target is None or not self._is_resource(target):
            await self._authorize(request, request.method.lower(), None)
            if request.path == metrics.PATH and request.method == "GET":
                return await self._measurements()
            if request.path.rstrip("/") in _OIDC and request.method == "GET":
                return await self._oidc(request)
            return self._fixed(request)
        verb = paths.verb(request.method, target, query)
        await self._authorize(request, verb or request.method.lower(), target)
        await self._authorize_reference(request, verb, target)
        if (target.group, target.version) == discovery.POLONG:
            return await self._own(request, target, query)
        if (target.group, target.version) == discovery.METRICS:
            return await resourcemetrics.handle(request, target, query, self.resource_metrics, self._stored)
        return await self._resource(request, target, verb, query)

    async def stream(self, request: Request) -> podstreams.StreamTarget | None:
        """An exec, attach or portforward that may begin; None where the path is of none. Same errors as `handle`."""
        target = paths.parse(request.path)
        if target is None or target.resource != "pods" or target.group or target.subresource not in podstreams.STREAMS:
            return None
        await self._authorize(request, "create", target)
        pod = await self._pod(target)
        return podstreams.stream_target(target.subresource, pod, request.query)

    async def tunnel(self, request: Request) -> str | None:
        """`scheme://address:port` to which an upgrade at pods/proxy or services/proxy goes; None where the path is of neither."""
        target = paths.parse(paths.proxied(request.path)[0])
        if (
            target is None
            or target.subresource != "proxy"
            or not (kind := self._registry.find(target.group, target.version, target.resource))
        ):
            return None
        verb = paths.verb(request.method, target, {})
        await self._authorize(request, verb, target)
        self._check_subresource(kind, target, verb)
        return await self._behind(kind, target)

    async def _authorize(self, request: Request, verb: str, target: Target | None) -> None:
        if target is not None and target.subresource in _ALWAYS_CREATE:
            verb = "create"
        await self._authorizer.check(request.user, verb, request.path, target, request.query)

    async def _authorize_reference(self, request: Request, verb: str, target: Target) -> None:
        """A node reads a Secret only for a Pod of its own that refers to it."""
        user = request.user
        if user is None or not nodeauthorizer.is_node(user):
            return
        wanted = nodeauthorizer.reference(target, request.query)
        pods_kind = self._registry.find("", "v1", "pods")
        if wanted is None or pods_kind is None:
            return
        page = await self._store.page(pods_kind, target.namespace)
        if not any(wanted in podreferences.of_pod(pod) for pod in page.items):
            raise refusal(user, attributes(verb, request.path, target), nodeauthorizer.unrelated(user, wanted))

    def _is_resource(self, target: Target) -> bool:
        return (target.group, target.version) in self._discovery.group_versions

    def _is_known(self, target: Target) -> bool:
        own = (target.group, target.version) == discovery.POLONG
        return self._registry.find(target.group, target.version, target.resource) is not None or (own and target.resource in _OWN)

    # --- resources ------------------------------------------------------------------------------------------------------------

    async def _resource(self, request: Request, target: Target, verb: str, query: Mapping[str, str]) -> Response:
        kind = self._registry.find(target.group, target.version, target.resource)
        if kind is None or (target.namespace and not kind.resource.namespaced):
            raise status.no_such_path()
        if kind.resource.namespaced and not target.namespace and (target.name or verb in ("create", "deletecollection")):
            raise status.method_not_allowed() if not target.name else status.no_such_path()
        if target.subresource:
            self._check_subresource(kind, target, verb)
            if target.subresource == "log":
                return await podlog.log(await self._pod(target), query, self.require_node(), self._clock, self._tasks)
            if target.subresource == "proxy":
                return await podproxy.handle(request, await self._behind(kind, target))
            if target.subresource in podstreams.STREAMS:
                raise BadRequest("Upgrade request required")
        elif (
            verb not in kind.verbs
            or (target.name and verb in ("create", "list", "deletecollection"))
            or (not target.name and verb == "update")
        ):
            raise status.method_not_allowed()
        if not target.name and verb == "patch":
            raise status.method_not_allowed()
        plain = target.group in reviews.GROUPS or target.subresource in (*podeviction.SUBRESOURCES, "token")
        form = negotiate.form(request.headers.get("accept", ""), frozenset() if plain else _FORMS.get(verb, negotiate.OBJECT_FORMS))
        call = Call(request, verb, target, kind, query, form, self._store, self._clock, self._node_name, self._admission)
        call.authorize = lambda other: self._authorize(request, other, target)
        if target.subresource in podeviction.SUBRESOURCES and kind.resource == gvk.PODS:
            return await podeviction.handle(call)
        if target.subresource == "token":
            return await self._accounts.request(call)
        if target.group in reviews.GROUPS:
            return await self._reviews.handle(call)
        response = await _VERBS[verb](call)
        if kind.resource == ClusterRoles.resource and verb not in _READS:
            await self._authorizer.rbac.aggregate()
        if kind.resource == gvk.NAMESPACES and not call.dry_run:
            await self._namespace(verb, target.name, response)
        return response

    async def _namespace(self, verb: str, name: str, response: Response) -> None:
        """What must have begun, or be there, before a client hears that its namespace is on its way out, or made."""
        if verb == "delete":
            self.controllers.endings.end(name)
        elif verb == "create" and isinstance(response.body, dict):
            await self.controllers.contents.ensure(str((response.body.get("metadata") or {}).get("name", "")))

    def _check_subresource(self, kind: Kind, target: Target, verb: str) -> None:
        found = next((one for one in kind.subresources if one.name == target.subresource), None)
        if found is None or not target.name:
            raise status.no_such_path()
        if verb not in found.verbs:
            raise status.method_not_allowed()

    async def _pod(self, target: Target) -> Json:
        kind = self._registry.find("", "v1", "pods")
        assert kind is not None
        pod, _ = await self._store.get(kind, target.namespace, target.name)
        return pod

    async def _behind(self, kind: Kind, target: Target) -> str:
        """Where a Pod is, or one of a Service's."""
        one, _ = await self._store.get(kind, target.namespace, podproxy.pod_name(target.name))
        if kind.resource == gvk.PODS:
            return podproxy.location(target.name, one)
        slices = (await self._store.page(EndpointSlices(), target.namespace)).items
        return serviceproxy.location(target.name, one, slices)

    async def _stored(self, plural: str, namespace: str) -> list[Json]:
        kind = self._registry.find("", "v1", plural)
        assert kind is not None
        page = await self._store.page(kind, namespace)
        return list(page.items)

    async def _own(self, request: Request, target: Target, query: Mapping[str, str]) -> Response:
        if target.resource == "pods" and target.subresource in processes.SUBRESOURCES and target.namespace:
            return await processes.handle(request, target, query, self.require_node(), lambda: self._pod(target))
        if target.resource == processes.HOST and target.name and not target.namespace and not target.subresource:
            return await processes.handle_host(request, target.name, query, self.require_node())
        if target.resource == "pods" and target.subresource in inspection.SUBRESOURCES and target.namespace:
            return await inspection.handle(request, target, query, self.inspector, lambda: self._pod(target))
        if target.resource in administration.RESOURCES and not target.name and not target.namespace:
            return await administration.handle(request, target.resource, request.query, self.images)
        if target.resource in backups.RESOURCES and not target.name and not target.namespace:
            return await backups.handle(request, target.resource, query, self._store.storage, self._node_name)
        raise status.no_such_path()

    async def _measurements(self) -> Response:
        objects = {}
        for kind in self._registry:
            page = await self._store.storage.list(self._store.prefix(kind), limit=1)
            objects[status.qualified(kind.resource)] = len(page.items) + page.remaining
        pods = self._registry.find("", "v1", "pods")
        assert pods is not None
        text = self._metrics.text((await self._store.page(pods, "")).items, objects)
        if self.node_metrics is not None:
            text += await self.node_metrics.text()
        return Response(200, text.encode(), metrics.HEADERS)

    # --- what is not a resource -----------------------------------------------------------------------------------------------

    async def _oidc(self, request: Request) -> Response:
        """How others verify the tokens of this node."""
        if request.path.startswith("/openid"):
            return Response(200, await self._accounts.tokens.jwks(), {"Content-Type": "application/jwk-set+json"})
        return Response(200, self._accounts.configuration(request.headers.get("host", "")))

    def _fixed(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise status.no_such_path()
        path = request.path.rstrip("/") or "/"
        if path == "/version":
            return Response(200, version())
        if path in ("/healthz", "/livez", "/readyz") or path.startswith(("/healthz/ping", "/livez/ping", "/readyz/ping")):
            return Response(200, b"ok", _TEXT)
        if path == "/":
            return Response(200, {"paths": self._all_paths()})
        if path.startswith(("/openapi/v3", "/openapi/v2")):
            return self._open_api(path, request)
        return self._discover(path, request)

    def _all_paths(self) -> list[str]:
        groups = [f"/apis/{group}/{version}" if group else f"/api/{version}" for group, version in self._discovery.group_versions]
        return sorted(["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version", *groups])

    def _open_api(self, path: str, request: Request) -> Response:
        if path == "/openapi/v2":
            if openapi_v2.MEDIA not in request.headers.get("accept", ""):
                raise Unsupported(f"only the following media types are accepted: {openapi_v2.MEDIA}", reason="NotAcceptable")
            return Response(200, openapi_v2.document(self._registry, version()["gitVersion"]), {"Content-Type": openapi_v2.CONTENT_TYPE})
        if path == "/openapi/v3":
            return _tagged(request, self._openapi.index(), {})
        found = self._openapi.document(path.removeprefix("/openapi/v3/"))
        if found is None:
            raise status.no_such_path()
        data, tag = found
        if f'"{tag}"' in request.headers.get("if-none-match", ""):
            return Response(304, headers={"ETag": f'"{tag}"'})
        cache = {"Cache-Control": "public, immutable, max-age=31536000"} if dict(request.query).get("hash") == tag else {}
        return Response(200, data, {"Content-Type": "application/json", "ETag": f'"{tag}"', "Vary": "Accept", **cache})

    def _discover(self, path: str, request: Request) -> Response:
        if path in ("/api", "/apis"):
            form = negotiate.form(request.headers.get("accept", ""), frozenset({"APIGroupDiscoveryList"}))
            if form != negotiate.PLAIN:
                return _tagged(request, self._discovery.aggregated(form, core=path == "/api"), _discovery_type(form))
            return Response(
                200, self._discovery.core_versions(request.headers.get("host", "")) if path == "/api" else self._discovery.groups()
            )
        parts = path.split("/")[1:]
        document: Json | None = None
        if parts[0] == "api" and len(parts) == 2:
            document = self._discovery.resources("", parts[1])
        elif parts[0] == "apis" and len(parts) == 2:
            document = self._discovery.group(parts[1])
        elif parts[0] == "apis" and len(parts) == 3 and parts[1]:
            document = self._discovery.resources(parts[1], parts[2])
        if document is None:
            raise status.no_such_path()
        return Response(200, document)


def _discovery_type(form: Form) -> dict[str, str]:
    return {"Content-Type": f"application/json;g={form.group};v={form.version};as={form.kind}", "Vary": "Accept"}


def _tagged(request: Request, document: Json, headers: Mapping[str, str]) -> Response:
    """With ETag; 304 where the client has it already."""
    data = msgspec.json.encode(document)
    tag = f'"{hashlib.sha256(data).hexdigest()[:32].upper()}"'
    headers = {"Content-Type": "application/json", **headers, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(304, headers=headers)
    return Response(200, data, headers)


def version() -> Json:
    """version.Info, the document of /version."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    major, minor, fix = KUBERNETES
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.{fix}+polong-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": f"python{platform.python_version()}",
        "compiler": "cpython",
        "platform": f"linux/{machine}",
    }
