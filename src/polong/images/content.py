"""Content by digest: `blobs/sha256/HEX`. A blob is hashed while it is written and gets its name only when the hash is right."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from polong.images.digest import Digest
from polong.kit.errors import Internal, Invalid, TooLarge, Unavailable

_FREE_FLOOR = 64 << 20


class Ingest:
    """One unfinished blob. Blocking: call from a thread for anything large. Discarded unless committed."""

    def __init__(self, store: ContentStore, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._hash = hashlib.sha256()
        self.size = 0
        self._path = store.ingest / secrets.token_hex(12)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """TooLarge beyond the limit; Unavailable when the disk is nearly full."""
        if self.size + len(data) > self._limit:
            raise TooLarge(f"content is larger than the {self._limit} bytes that its descriptor allows")
        view = memoryview(data)
        self._hash.update(view)
        self.size += len(data)
        while view:
            view = view[os.write(self._fd, view) :]
        if self.size % (16 << 20) < len(data):
            self._store.require_space()

    def restart(self) -> None:
        """Back to nothing: the server would not continue where it had stopped."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size = 0

    def found(self) -> Digest:
        """The digest of what was written so far."""
        return Digest(self._hash.hexdigest())

    def commit(self, digest: Digest | None = None, size: int | None = None) -> Digest:
        """Publish under the digest of what was written, which must be `digest` (Invalid otherwise).

        Not yet durable: the store syncs once before it records an image, and drops unrecorded content when it starts.
        """
        found = self.found()
        try:
            if size is not None and size != self.size:
                raise Invalid(f"content of {digest} is {self.size} bytes long, its descriptor says {size}")
            if digest is not None and digest != found:
                raise Invalid(f"content does not match its digest: expected {digest}, found {found}")
            self._path.rename(self._store.path(found))
        finally:
            self.discard()
        return found

    def discard(self) -> None:
        """Idempotent; after `commit` too."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._path.unlink(missing_ok=True)


class ContentStore:
    """Blobs of one root. What is under a digest's name is complete."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs" / "sha256"
        self.ingest = root / "ingest"
        for directory in (root / "blobs", self._blobs, self.ingest):
            directory.mkdir(mode=0o700, exist_ok=True)

    def clear_ingest(self) -> None:
        """Drop what an earlier run left unfinished."""
        for path in self.ingest.iterdir():
            path.unlink()

    def path(self, digest: Digest) -> Path:
        return self._blobs / digest.hex

    def has(self, digest: Digest, size: int | None = None) -> bool:
        try:
            found = self.path(digest).stat().st_size
        except FileNotFoundError:
            return False
        return size is None or found == size

    def begin(self, limit: int) -> Ingest:
        self.require_space()
        return Ingest(self, limit)

    def add(self, content: bytes) -> Digest:
        """A small blob that is in memory already."""
        digest = Digest.of(content)
        if not self.has(digest, len(content)):
            ingest = self.begin(len(content))
            try:
                ingest.write(content)
                ingest.commit(digest)
            finally:
                ingest.discard()
        return digest

    def read(self, digest: Digest, limit: int) -> bytes:
        """A small blob, checked again; Internal where the disk has changed it."""
        with self.path(digest).open("rb") as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise TooLarge(f"content {digest} is larger than {limit} bytes")
        if Digest.of(content) != digest:
            raise Internal(f"content {digest} on disk is damaged; remove the image and pull it again")
        return content

    def size(self, digest: Digest) -> int:
        return self.path(digest).stat().st_size

    def remove(self, digest: Digest) -> None:
        """Idempotent."""
        self.path(digest).unlink(missing_ok=True)

    def digests(self) -> Iterator[Digest]:
        for path in self._blobs.iterdir():
            yield Digest(path.name)

    def require_space(self) -> None:
        status = os.statvfs(self.ingest)
        if status.f_bavail * status.f_frsize < _FREE_FLOOR:
            raise Unavailable(f"no space left for images: less than {_FREE_FLOOR >> 20} MiB free at {self.ingest}", reason="ErrImagePull")
