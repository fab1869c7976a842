"""Accept headers: in which form an answer is wanted. Pure. Source: apiserver pkg/endpoints/handlers/negotiation."""

from __future__ import annotations

from dataclasses import dataclass

from polong.kit.errors import Unsupported

META = "meta.k8s.io"
DISCOVERY = "apidiscovery.k8s.io"
_MEDIA = frozenset({"application/json", "application/*", "*/*"})


@dataclass(frozen=True)
class Form:
    """`kind` is empty for the object itself, else what it is turned into: Table, PartialObjectMetadata(List), APIGroupDiscoveryList."""

    kind: str = ""
    group: str = ""
    version: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"


PLAIN = Form()

_KNOWN = {
    "Table": (META, ("v1", "v1beta1")),
    "PartialObjectMetadata": (META, ("v1", "v1beta1")),
    "PartialObjectMetadataList": (META, ("v1", "v1beta1")),
    "APIGroupDiscoveryList": (DISCOVERY, ("v2", "v2beta1")),
}


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    clauses = []
    for position, clause in enumerate(accept.split(",")):
        media, *parameters = (part.strip() for part in clause.split(";"))
        pairs = dict(part.split("=", 1) for part in parameters if "=" in part)
        try:
            weight = float(pairs.pop("q", "1"))
        except ValueError:
            weight = 1.0
        clauses.append((-weight, position, media.lower(), pairs))
    return [(media, pairs) for _, _, media, pairs in sorted(clauses, key=lambda clause: clause[:2])]


def form(accept: str, allowed: frozenset[str]) -> Form:
    """The first form that the client accepts and we can give; `allowed` are kinds of conversion. 406 (NotAcceptable) where none."""
    if not accept.strip():
        return PLAIN
    for media, parameters in _clauses(accept):
        if media not in _MEDIA:
            continue
        kind = parameters.get("as", "")
        if not kind:
            return PLAIN
        group, versions = _KNOWN.get(kind, ("", ()))
        if kind in allowed and parameters.get("g") == group and parameters.get("v") in versions:
            return Form(kind, group, parameters["v"])
    raise Unsupported("only the following media types are accepted: application/json", reason="NotAcceptable")


OBJECT_FORMS = frozenset({"Table", "PartialObjectMetadata"})
LIST_FORMS = frozenset({"Table", "PartialObjectMetadataList"})
WATCH_FORMS = frozenset({"Table", "PartialObjectMetadata"})
