"""Decompression in this process (never by a program of that name), a piece at a time and bounded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Protocol

from isal import igzip_lib, isal_zlib

from polong.kit.errors import Invalid, TooLarge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK = 1 << 20
# zstd asks for a window of at most 128 MiB; the CLI refuses more than 27 bits as well unless told.
_WINDOW_LOG = 27
_GZIP_WBITS = 31


class Decompressor(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of about a MiB. Invalid where the stream is damaged."""
        ...

    def finish(self) -> None:
        """At the end of input: Invalid where the stream was cut off."""
        ...


class _Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        pass


class _Gzip:
    """Concatenated members are one stream (RFC 1952); zero padding after the last is ignored."""

    def __init__(self) -> None:
        self._stream = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
        self._started = False
        self._any = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if not self._started:
                data = data.lstrip(b"\0") if self._any else data
                if not data:
                    return
                self._started = self._any = True
            try:
                piece = self._stream.decompress(data, _CHUNK)
            except igzip_lib.IsalError as error:  # type: ignore[misc] # its stubs miss that it is an exception
                raise Invalid(f"gzip data is damaged: {error}") from None
            if self._stream.eof:
                data = self._stream.unused_data
                self._stream = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
                self._started = False
            else:
                data = self._stream.unconsumed_tail
                if not piece and data:
                    raise Invalid("gzip data is damaged")
            if piece:
                yield piece

    def finish(self) -> None:
        if self._started or not self._any:
            raise Invalid("gzip data is cut off")


class _Zstd:
    def __init__(self) -> None:
        self._stream = self._new()
        self._started = False
        self._any = False

    @staticmethod
    def _new() -> zstd.ZstdDecompressor:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or (self._started and not self._stream.needs_input):
            self._started = self._any = True
            try:
                piece = self._stream.decompress(data, _CHUNK)
            except zstd.ZstdError as error:
                raise Invalid(f"zstd data is damaged or needs too much memory: {error}") from None
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data
                self._stream = self._new()
                self._started = False
            if piece:
                yield piece

    def finish(self) -> None:
        if self._started or not self._any:
            raise Invalid("zstd data is cut off")


def decompressor(compression: str) -> Decompressor:
    """`compression`: "", "gzip" or "zstd"."""
    kinds: dict[str, type[Decompressor]] = {"": _Plain, "gzip": _Gzip, "zstd": _Zstd}
    return kinds[compression]()


def sniff(head: bytes) -> str:
    """What the first bytes say."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else ""


class Ratio:
    """Refuses bombs: beyond `start` bytes out, no more than `ratio` bytes for each that came in."""

    def __init__(self, limit: int, *, start: int = 1 << 30, ratio: int = 500) -> None:
        self._limit, self._start, self._ratio = limit, start, ratio
        self.taken = 0
        self.given = 0

    def count(self, given: int) -> None:
        """TooLarge."""
        self.given += given
        if self.given > self._limit:
            raise TooLarge(f"layer unpacks to more than {self._limit >> 20} MiB")
        if self.given > self._start and self.given > self._ratio * self.taken:
            raise TooLarge(f"layer unpacks to more than {self._ratio} times its size: refused as a decompression bomb")
