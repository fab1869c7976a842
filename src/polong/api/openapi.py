"""/openapi/v3: one document for each group and version, from Kubernetes' own schema. Made when first asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from polong.api import openapi_polong
from polong.api.resources.kind import Kind
from polong.api.resources.registry import Registry
from polong.objects import schema

Json = dict[str, Any]

_REF = "#/components/schemas/"


def _serving(node: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A definition as OpenAPI v3 wants it: a reference with siblings is wrapped."""
    if isinstance(node, list):
        return [_serving(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node and len(node) > 1:
        return {**{name: _serving(value) for name, value in node.items() if name != "$ref"}, "allOf": [{"$ref": node["$ref"]}]}
    return {name: _serving(value) for name, value in node.items()}


def _references(node: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(_REF)
        for value in node.values():
            yield from _references(value)


def _reachable(roots: list[str]) -> Json:
    table, wanted, found = schema.definitions(), list(roots), {}
    while wanted:
        name = wanted.pop()
        if name in found or name not in table:
            continue
        found[name] = _serving(table[name])
        wanted.extend(_references(table[name]))
    return dict(sorted(found.items()))


def _parameter(name: str, kind: str = "string") -> Json:
    return {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}


_WRITE = [_parameter("dryRun"), _parameter("fieldManager"), _parameter("fieldValidation")]
_READ = [
    *(_parameter(name) for name in ("continue", "fieldSelector", "labelSelector", "resourceVersion", "resourceVersionMatch")),
    *(_parameter(name, "boolean") for name in ("allowWatchBookmarks", "sendInitialEvents", "watch")),
    *(_parameter(name, "integer") for name in ("limit", "timeoutSeconds")),
]
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


class _Paths:
    """The paths of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        resource = kind.resource
        self._gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        self._object = schema.definition_name(resource.api_version, resource.kind)
        self._list = schema.definition_name(resource.api_version, resource.kind + "List")

    def paths(self) -> Iterator[tuple[str, Json]]:
        resource = self._kind.resource
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        collection = f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{base}/{resource.plural}"
        in_path = ["namespace"] if resource.namespaced else []
        if self._kind.verbs == ("create",):
            yield collection, self._item(in_path, {"post": ("post", self._object, _WRITE)})
            return
        if resource.namespaced:
            yield f"{base}/{resource.plural}", {"get": self._operation("list", self._list, _READ)}
        yield collection, self._item(in_path, {"get": ("list", self._list, _READ), "post": ("post", self._object, _WRITE)})
        one = {
            "get": ("get", self._object, []),
            "put": ("put", self._object, _WRITE),
            "patch": ("patch", self._object, [*_WRITE, _parameter("force", "boolean")]),
            "delete": ("delete", self._object, [_parameter("dryRun"), _parameter("gracePeriodSeconds", "integer")]),
        }
        yield f"{collection}/{{name}}", self._item([*in_path, "name"], one)
        for sub in self._kind.subresources:
            if sub.stored:
                methods = {method: one[method] for method in ("get", "put", "patch")}
                yield f"{collection}/{{name}}/{sub.name}", self._item([*in_path, "name"], methods)

    def _item(self, in_path: list[str], methods: dict[str, tuple[str, str, list[Json]]]) -> Json:
        item: Json = {method: self._operation(*what) for method, what in methods.items()}
        if in_path:
            item["parameters"] = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path]
        return item

    def _operation(self, action: str, answer: str, parameters: list[Json]) -> Json:
        reference = {"schema": {"$ref": _REF + answer}} if answer else {}
        operation: Json = {
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": {"application/json": reference}}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": self._gvk,
        }
        if action == "patch":
            body: Json = {media: {"schema": {"type": "object"}} for media in _PATCHES}
            operation["requestBody"] = {"content": body, "required": True}
        elif action in ("post", "put"):
            operation["requestBody"] = {"content": {"application/json": reference}, "required": True}
        return operation


class OpenApi:
    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version
        self._documents: dict[str, tuple[bytes, str]] = {}

    def _names(self) -> dict[str, tuple[str, str]]:
        served = {f"apis/{group}/{version}" if group else f"api/{version}": (group, version) for group, version in self._registry.groups}
        return {**served, openapi_polong.NAME: ("polong.dev", "v1alpha1")}

    def index(self) -> Json:
        paths = {}
        for name in self._names():
            found = self.document(name)
            assert found is not None
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={found[1]}"}
        return {"paths": paths}

    def document(self, name: str) -> tuple[bytes, str] | None:
        """JSON of `api/v1`, `apis/events.k8s.io/v1` and its hash; None where there is none."""
        if name not in self._documents:
            group_version = self._names().get(name)
            if group_version is None:
                return None
            own = name == openapi_polong.NAME
            data = msgspec.json.encode(openapi_polong.document(self._version) if own else self._make(*group_version))
            self._documents[name] = (data, hashlib.sha256(data).hexdigest()[:32].upper())
        return self._documents[name]

    def _make(self, group: str, version: str) -> Json:
        kinds = self._registry.of_group(group, version)
        roots = []
        for kind in kinds:
            resource = kind.resource
            roots += [schema.definition_name(resource.api_version, name) for name in (resource.kind, resource.kind + "List")]
        roots.append(schema.definition_name("v1", "DeleteOptions"))
        paths = {path: item for kind in kinds for path, item in _Paths(kind).paths()}
        return {
            "openapi": "3.0.0",
            "info": {"title": "Polong", "version": self._version},
            "paths": paths,
            "components": {"schemas": _reachable(roots)},
        }
