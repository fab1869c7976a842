"""What the API knows of a kind. A kind is one subclass; everything generic (verbs, discovery, OpenAPI, tables) works from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from polong.api.tables.columns import AGE, NAME, Column
from polong.kit.errors import Cause
from polong.objects import names
from polong.objects.gvk import Resource

Json = dict[str, Any]

STANDARD = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Context:
    """What defaulting may depend on besides the object: the moment (RFC 3339) and the one node of this API."""

    now: str
    node_name: str
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    """What the audit log is to say of the request besides: annotations of its event."""


@dataclass(frozen=True)
class Subresource:
    """`kind` as discovery names it, of the resource's own group and version unless `api_version` says otherwise.

    `stored` ones change a part of the object itself and take get, update, patch."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    api_version: str = ""
    stored: bool = False


STATUS = ("get", "patch", "update")


class Kind:
    """Methods named after the moments of a write; objects come decoded, pruned and deep-copied: change them in place."""

    resource: ClassVar[Resource]
    singular: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]] = ()
    categories: ClassVar[tuple[str, ...]] = ()
    verbs: ClassVar[tuple[str, ...]] = STANDARD
    subresources: ClassVar[tuple[Subresource, ...]] = ()
    columns: ClassVar[tuple[Column, ...]] = (NAME, AGE)
    answers_deleted: ClassVar[bool] = False
    """DELETE answers with the object, not with a Status."""
    unconditional_update: ClassVar[bool] = True
    """PUT without resourceVersion is accepted."""
    has_generation: ClassVar[bool] = False
    generation_of: ClassVar[str] = "spec"
    """A change of this part makes a new generation."""
    namespace_must_exist: ClassVar[bool] = True

    @property
    def storage(self) -> str:
        """First element of the keys. Two kinds may share it: two API groups over one stored form."""
        return self.resource.plural

    @property
    def served_as_stored(self) -> bool:
        return type(self).from_storage is Kind.from_storage

    def from_storage(self, obj: Json) -> Json:
        """The stored form as this kind serves it; must not change `obj`."""
        return obj

    def to_storage(self, obj: Json) -> Json:
        return obj

    def name_errors(self, name: str) -> list[str]:
        return names.dns_subdomain_errors(name)

    def fields(self, obj: Json) -> Mapping[str, str]:
        """Values of the selectable fields."""
        metadata = obj["metadata"]
        selectable = {"metadata.name": metadata["name"]}
        if self.resource.namespaced:
            selectable["metadata.namespace"] = metadata.get("namespace", "")
        return selectable

    @property
    def selectable(self) -> frozenset[str]:
        """Names that `fields` gives."""
        return frozenset(self.fields({"metadata": {"name": ""}}))

    def default(self, obj: Json, context: Context) -> None:
        """Fill in defaults. Idempotent: runs on create and on every update."""

    def prepare_create(self, obj: Json, context: Context) -> None:
        """Drop what a client may not set (status), set what only the server may."""

    def prepare_update(self, new: Json, old: Json, subresource: str) -> None:
        """Take from `old` what this door may not change."""
        if any(one.name == "status" for one in self.subresources):
            kept = [name for name in old if name not in ("status", "metadata")] if subresource == "status" else ["status"]
            for part in kept:
                new.pop(part, None)
                if part in old:
                    new[part] = old[part]

    def validate(self, obj: Json) -> Sequence[Cause]:
        return ()

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        return ()

    def warnings(self, obj: Json) -> Sequence[str]:
        """What the author of a new object, which is valid, should hear."""
        return ()

    def undeletable(self, name: str) -> str:
        """Why nobody may delete the object of this name; empty where one may."""
        return ""

    def grace_seconds(self, obj: Json, asked: int | None) -> int:
        """How long a deletion waits for somebody (the kubelet) to finish; 0 deletes at once."""
        return 0
