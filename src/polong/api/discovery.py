"""What is served: legacy discovery (/api, /apis, per group and version) and the aggregated form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polong.api.negotiate import Form
from polong.api.resources.registry import Registry

Json = dict[str, Any]

POLONG = ("polong.dev", "v1alpha1")
METRICS = ("metrics.k8s.io", "v1beta1")


@dataclass(frozen=True)
class Row:
    """A resource or subresource (`pods/log`) of one group and version. `kind` is (group, version, kind)."""

    name: str
    singular: str
    namespaced: bool
    kind: tuple[str, str, str]
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def legacy(self, group: str, version: str) -> Json:
        """As one of the resources of that group and version."""
        row: Json = {
            "name": self.name,
            "singularName": self.singular,
            "namespaced": self.namespaced,
            "kind": self.kind[2],
            "verbs": list(self.verbs),
        }
        if self.kind[:2] != (group, version):
            row |= {"group": self.kind[0], "version": self.kind[1]}
        if self.short_names:
            row["shortNames"] = list(self.short_names)
        if self.categories:
            row["categories"] = list(self.categories)
        return row

    def response_kind(self) -> Json:
        group, version, kind = self.kind
        return {"group": group, "version": version, "kind": kind}


# Polong's own group: processes of a Pod, the image store of the node, copies of its state.
_OWN = (
    Row("hostprocesses", "hostprocess", False, (*POLONG, "HostProcess"), ("get",)),
    Row("imageexports", "imageexport", False, (*POLONG, "ImageExport"), ("get",)),
    Row("imageimports", "imageimport", False, (*POLONG, "ImageImport"), ("create",)),
    Row("imageprunes", "imageprune", False, (*POLONG, "ImagePrune"), ("create",)),
    Row("imagepulls", "imagepull", False, (*POLONG, "ImagePull"), ("create",)),
    Row("images", "image", False, (*POLONG, "Image"), ("deletecollection", "list")),
    Row("pods/access", "", True, (*POLONG, "PodAccess"), ("create", "get")),
    Row("pods/files", "", True, (*POLONG, "PodFile"), ("create", "get")),
    Row("pods/processes", "", True, (*POLONG, "ProcessList"), ("get", "watch")),
    Row("pods/restart", "", True, (*POLONG, "Restart"), ("create",)),
    Row("pods/signal", "", True, (*POLONG, "Signal"), ("create",)),
    Row("statebackups", "statebackup", False, (*POLONG, "StateBackup"), ("list",)),
    Row("staterestores", "staterestore", False, (*POLONG, "StateRestore"), ("create",)),
)

_METRICS = (
    Row("nodes", "", False, (*METRICS, "NodeMetrics"), ("get", "list")),
    Row("pods", "", True, (*METRICS, "PodMetrics"), ("get", "list")),
)
_VIRTUAL = {POLONG: _OWN, METRICS: _METRICS}
"""Groups of which nothing is stored."""


class Discovery:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.group_versions = sorted([*registry.groups, *_VIRTUAL])

    def rows(self, group: str, version: str) -> list[Row]:
        if (group, version) in _VIRTUAL:
            return list(_VIRTUAL[group, version])
        rows = []
        for kind in self._registry.of_group(group, version):
            resource = kind.resource
            gvk = (group, version, resource.kind)
            rows.append(Row(resource.plural, kind.singular, resource.namespaced, gvk, kind.verbs, kind.short_names, kind.categories))
            for sub in kind.subresources:
                name = f"{resource.plural}/{sub.name}"
                other = tuple(sub.api_version.split("/")) if sub.api_version else (group, version)
                rows.append(Row(name, "", resource.namespaced, (other[0], other[1], sub.kind), sub.verbs))
        return rows

    def resources(self, group: str, version: str) -> Json | None:
        """APIResourceList; None where there is no such group and version."""
        rows = self.rows(group, version)
        if not rows:
            return None
        name = f"{group}/{version}" if group else version
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": name,
            "resources": [row.legacy(group, version) for row in rows],
        }

    def core_versions(self, address: str) -> Json:
        servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}

    def groups(self) -> Json:
        names = sorted({group for group, _ in self.group_versions if group})
        groups = [found for name in names if (found := self.group(name)) is not None]
        for found in groups:
            found.pop("kind")
            found.pop("apiVersion")
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, name: str) -> Json | None:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version} for group, version in self.group_versions if group == name and name
        ]
        if not versions:
            return None
        return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions, "preferredVersion": versions[0]}

    def aggregated(self, form: Form, *, core: bool) -> Json:
        """APIGroupDiscoveryList of /api (`core`) or of /apis."""
        items = []
        for name in sorted({group for group, _ in self.group_versions}):
            if (name == "") is not core:
                continue
            versions = [
                {"version": version, "resources": _nested(self.rows(group, version)), "freshness": "Current"}
                for group, version in self.group_versions
                if group == name
            ]
            items.append({"metadata": {"name": name, "creationTimestamp": None}, "versions": versions})
        return {"kind": "APIGroupDiscoveryList", "apiVersion": form.api_version, "metadata": {}, "items": items}


def _nested(rows: Sequence[Row]) -> list[Json]:
    """Resources with their subresources inside; a parent that this group does not serve has no kind and no verbs."""
    found: dict[str, Json] = {}
    for row in rows:
        parent, _, sub = row.name.partition("/")
        scope = "Namespaced" if row.namespaced else "Cluster"
        if not sub:
            found[parent] = {
                "resource": parent,
                "responseKind": row.response_kind(),
                "scope": scope,
                "singularResource": row.singular,
                "verbs": list(row.verbs),
                **({"shortNames": list(row.short_names)} if row.short_names else {}),
                **({"categories": list(row.categories)} if row.categories else {}),
            }
            continue
        outer = found.setdefault(parent, {"resource": parent, "scope": scope, "singularResource": "", "verbs": []})
        outer.setdefault("subresources", []).append({"subresource": sub, "responseKind": row.response_kind(), "verbs": list(row.verbs)})
    return list(found.values())
