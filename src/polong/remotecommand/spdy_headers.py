"""SPDY/3 name/value blocks: a count, then lengths and texts, through one zlib stream a direction with a preset dictionary."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

# A block that inflates beyond this, or tells of more names, is an attack: kubectl sends some hundred bytes.
MAX_BLOCK = 64 * 1024
MAX_NAMES = 64

_NAMES = (
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding", "accept-language",
    "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base", "content-encoding",
    "content-language", "content-length", "content-location", "content-md5", "content-range", "content-type", "date", "etag", "expect",
    "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified",
    "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after", "server",
    "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning", "www-authenticate", "method", "get",
    "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin",
)  # fmt: skip

_TAIL = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    b"203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found"
    b"500 Internal Server Error501 Not Implemented503 Service Unavailable"
    b"Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    b"chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public"
    b"privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)

# Section 2.6.10.1 of the specification: 1423 bytes, known to zlib by their checksum.
DICTIONARY = b"".join(struct.pack(">I", len(name)) + name.encode() for name in _NAMES) + _TAIL


class HeaderError(Exception):
    """A block that lies about itself, or is too large."""


class Headers:
    """Both directions of one connection; blocks must be packed and unpacked in the order of the wire."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def pack(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def unpack(self, data: bytes) -> dict[str, str]:
        """Names in lower case. HeaderError or zlib.error; the connection is lost then."""
        block = self._inflate.decompress(data, MAX_BLOCK + 1)
        if len(block) > MAX_BLOCK:
            raise HeaderError(f"block inflates to more than {MAX_BLOCK} bytes")
        if len(block) < 4:
            raise HeaderError("block is too short")
        (count,) = struct.unpack_from(">I", block)
        if count > MAX_NAMES:
            raise HeaderError(f"block of {count} names, more than {MAX_NAMES}")
        headers: dict[str, str] = {}
        at = 4
        for _ in range(count):
            name, at = _text(block, at)
            value, at = _text(block, at)
            if not name or name.lower() in headers:
                raise HeaderError("name is empty or repeated")
            headers[name.lower()] = value
        return headers


def _text(block: bytes, at: int) -> tuple[str, int]:
    if at + 4 > len(block):
        raise HeaderError("block ends early")
    (size,) = struct.unpack_from(">I", block, at)
    end = at + 4 + size
    if end > len(block):
        raise HeaderError("text is longer than its block")
    return block[at + 4 : end].decode("utf-8", "replace"), end
