"""One stored object, as bytes for as long as nobody asks for more.

A list of ten thousand objects is mostly copied: decoding and encoding them again would cost a hundred times as much. `ObjectStore`
writes apiVersion, kind and metadata first, so the resourceVersion (which is not stored, but known from the write) has its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from polong.api.resources.kind import Kind

Json = dict[str, Any]


class _Names(msgspec.Struct):
    name: str
    namespace: str = ""
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct):
    metadata: _Names


class _Metadata(msgspec.Struct):
    metadata: msgspec.Raw


_head = msgspec.json.Decoder(_Head).decode
_metadata = msgspec.json.Decoder(_Metadata).decode

OF_HEAD = frozenset({"metadata.name", "metadata.namespace"})
"""Field selectors that need no more than the head."""


def arranged(stored: Json) -> Json:
    """The same object with the parts first that `Stored` looks for at the begin."""
    first = {name: stored[name] for name in ("apiVersion", "kind", "metadata") if name in stored}
    return first | stored


def _with_version(begin: bytes, rest: bytes, revision: int) -> msgspec.Raw:
    return msgspec.Raw(b'%b"resourceVersion":"%d",%b' % (begin, revision, rest))


class Stored:
    """`decode` gives the object, shared with other readers."""

    __slots__ = ("_decode", "_kind", "_value", "revision")

    def __init__(self, kind: Kind, value: bytes, revision: int, decode: Callable[[], Json]) -> None:
        self._kind = kind
        self._value = value
        self._decode = decode
        self.revision = revision

    def object(self) -> Json:
        return self._decode()

    def encoded(self) -> msgspec.Raw | Json:
        """The whole object to put into an answer that is encoded: its bytes where they are as this kind serves them."""
        resource = self._kind.resource
        begin = b'{"apiVersion":"%b","kind":"%b","metadata":{' % (resource.api_version.encode(), resource.kind.encode())
        if not self._kind.served_as_stored or not self._value.startswith(begin):
            return self._decode()
        return _with_version(begin, self._value[len(begin) :], self.revision)

    def metadata(self) -> msgspec.Raw:
        """Its metadata to put into an answer that is encoded. Every object has a name, hence something after the brace."""
        return _with_version(b"{", bytes(_metadata(self._value).metadata)[1:], self.revision)

    def head(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Labels, and the fields of OF_HEAD."""
        names = _head(self._value).metadata
        return names.labels or {}, {"metadata.name": names.name, "metadata.namespace": names.namespace}
