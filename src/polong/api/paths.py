"""URL paths to what they mean, and to Kubernetes' verb. Pure. Source: apiserver pkg/endpoints/request/requestinfo.go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

# Subresources that are watched under the name of their object.
_WATCHED = frozenset({"processes"})
NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True)
class Target:
    """A resource path: collection where `name` is empty. `namespace` is empty for cluster scope and for "all namespaces"."""

    group: str
    version: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse(path: str) -> Target | None:
    """None where the path is not of a resource (discovery, health, a wrong form)."""
    parts = [unquote(part) for part in path.split("/")[1:]]
    while parts and not parts[-1]:
        parts.pop()
    if "" in parts:
        return None
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    return _resource(group, version, rest)


def proxied(path: str) -> tuple[str, str]:
    """`/api/v1/namespaces/ns/pods/p/proxy`, or a Service's, and what follows it as it was sent; else the whole path and nothing."""
    parts = path.split("/", 8)
    if len(parts) >= 8 and parts[1:4] == ["api", "v1", "namespaces"] and parts[5] in ("pods", "services") and parts[7] == "proxy":
        return "/".join(parts[:8]), "/" + parts[8] if len(parts) > 8 else ""
    return path, ""


def _resource(group: str, version: str, rest: list[str]) -> Target | None:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in NAMESPACE_SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    return Target(group, version, rest[0], namespace, name, subresource)


def verb(method: str, target: Target, query: Mapping[str, str]) -> str:
    """get, list, watch, create, update, patch, delete, deletecollection; empty for other methods."""
    if method in ("GET", "HEAD"):
        if target.name and target.subresource in ("", *_WATCHED) and is_true(query.get("watch", "")):
            return "watch"
        if target.name:
            return "get"
        return "watch" if is_true(query.get("watch", "")) else "list"
    if method == "OPTIONS" and target.subresource == "proxy":
        return "get"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, "")


def is_true(text: str) -> bool:
    """Booleans in a query, as Go reads them ("" after `?watch` counts as true only where the parameter is given: see callers)."""
    return text.lower() in ("1", "t", "true")
