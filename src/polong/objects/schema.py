"""Kubernetes' schema, loaded when first asked for: field types, merge keys, list-map keys, descriptions.

The table is package data made by `buildhooks/schema.py`. A `Type` is a view on one definition or property.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

from polong.kit.errors import Internal

Json = dict[str, Any]

_REF = "#/components/schemas/"
_PACKAGES = {
    "": "io.k8s.api.core.v1.",
    "apps": "io.k8s.api.apps.v1.",
    "authentication.k8s.io": "io.k8s.api.authentication.v1.",
    "authorization.k8s.io": "io.k8s.api.authorization.v1.",
    "coordination.k8s.io": "io.k8s.api.coordination.v1.",
    "discovery.k8s.io": "io.k8s.api.discovery.v1.",
    "events.k8s.io": "io.k8s.api.events.v1.",
    "node.k8s.io": "io.k8s.api.node.v1.",
    "policy": "io.k8s.api.policy.v1.",
    "rbac.authorization.k8s.io": "io.k8s.api.rbac.v1.",
    "scheduling.k8s.io": "io.k8s.api.scheduling.v1.",
    "storage.k8s.io": "io.k8s.api.storage.v1.",
}
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."


@functools.cache
def definitions() -> Mapping[str, Json]:
    """Every definition by its OpenAPI name, such as io.k8s.api.core.v1.Pod. About 4 ms, once."""
    try:
        text = files("polong.objects").joinpath("schema.json").read_bytes()
    except FileNotFoundError:
        raise Internal("cannot load Kubernetes' schema: package data objects/schema.json is missing; reinstall polong") from None
    table: dict[str, Json] = json.loads(text)
    return table


def definition_name(api_version: str, kind: str) -> str:
    """`("v1", "Pod")` to `io.k8s.api.core.v1.Pod`; empty where the schema has no such kind."""
    group, _, _version = api_version.rpartition("/")
    for prefix in (_PACKAGES.get(group, ""), _META):
        if prefix and prefix + kind in definitions():
            return prefix + kind
    return ""


class Type:
    """One definition or property of the schema. Cheap: a view that keeps no state but memoised children."""

    __slots__ = ("_children", "_node", "_site", "format", "kind", "merges", "name", "short_name")

    def __init__(self, node: Json, name: str = "", site: Json | None = None) -> None:
        self._node = node
        self._site = site if site is not None else node
        self._children: dict[str, Type | None] = {}
        self.name = name
        """The definition's OpenAPI name; empty for an inline type."""
        self.short_name = name.rpartition(".")[2]
        """The Go struct's name, such as PodSpec."""
        self.format = str(node.get("format", ""))
        self.kind = self._kind()
        """object (with fields), map, array, string, integer, number, boolean, int-or-string, quantity, or any."""
        self.merges = self._merges()
        """How server-side apply merges it: by its fields, as a set, by keyed items; "" where it is replaced whole."""

    @property
    def properties(self) -> Mapping[str, Json]:
        found: Mapping[str, Json] = self._node.get("properties", {})
        return found

    def _kind(self) -> str:
        if self.short_name == "Quantity":
            return "quantity"
        if self.format == "int-or-string":
            return "int-or-string"
        declared = str(self._node.get("type", ""))
        if declared == "object":
            if "properties" in self._node:
                return "object"
            return "map" if "additionalProperties" in self._node else "any"
        return declared or ("object" if "properties" in self._node else "any")

    @property
    def required(self) -> frozenset[str]:
        return frozenset(self._node.get("required", ()))

    @property
    def patch_strategy(self) -> frozenset[str]:
        """`x-kubernetes-patch-strategy` of this field: merge, replace, retainKeys."""
        text = str(self._site.get("x-kubernetes-patch-strategy", ""))
        return frozenset(text.split(",")) if text else frozenset()

    @property
    def patch_merge_key(self) -> str:
        return str(self._site.get("x-kubernetes-patch-merge-key", ""))

    @property
    def list_type(self) -> str:
        """atomic, set, map; empty where the schema does not say (atomic)."""
        return str(self._site.get("x-kubernetes-list-type", ""))

    @property
    def list_map_keys(self) -> tuple[str, ...]:
        return tuple(self._site.get("x-kubernetes-list-map-keys", ()))

    def _merges(self) -> Literal["", "fields", "set", "items"]:
        if self.kind in ("object", "map"):
            atomic = "atomic" in (self._site.get("x-kubernetes-map-type"), self._node.get("x-kubernetes-map-type"))
            return "" if atomic else "fields"
        if self.kind == "array" and self.list_type == "set":
            return "set"
        return "items" if self.kind == "array" and self.list_type == "map" else ""

    def field(self, name: str) -> Type | None:
        """The type of a struct's field or of a map's values; None where there is no such field."""
        if name not in self._children:
            site = self.properties.get(name)
            if site is None and self.kind == "map":
                extra = self._node["additionalProperties"]
                site = extra if isinstance(extra, dict) else {}
            self._children[name] = None if site is None else _resolve(site)
        return self._children[name]

    def items(self) -> Type | None:
        """The type of a list's elements."""
        if "[]" not in self._children:
            site = self._node.get("items")
            self._children["[]"] = None if site is None else _resolve(site)
        return self._children["[]"]


def _resolve(site: Json) -> Type:
    reference = site.get("$ref")
    if reference is None:
        return Type(site)
    name = str(reference).removeprefix(_REF)
    return Type(definitions().get(name, {}), name, site)


@functools.cache
def type_of(api_version: str, kind: str) -> Type | None:
    """The type of a served kind; None where the schema does not know it (our own kinds)."""
    name = definition_name(api_version, kind)
    return Type(definitions()[name], name) if name else None
