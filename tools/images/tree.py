"""A file tree in memory and its layer: sorted, owned and dated the same at every build."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """One file: `kind` is a tarfile type; `link` the target of a symbolic or hard link."""

    kind: bytes
    mode: int
    content: bytes = b""
    link: str = ""
    uid: int = 0
    gid: int = 0


@dataclass
class Tree:
    """Paths without leading slash, to entries."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def directory(self, path: str, mode: int = 0o755, *, uid: int = 0, gid: int = 0) -> None:
        self.parents(path)
        self.entries[path] = Entry(tarfile.DIRTYPE, mode, uid=uid, gid=gid)

    def file(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        self.parents(path)
        self.entries[path] = Entry(tarfile.REGTYPE, mode, content.encode() if isinstance(content, str) else content)

    def symlink(self, path: str, target: str) -> None:
        self.parents(path)
        self.entries[path] = Entry(tarfile.SYMTYPE, 0o777, link=target)

    def hardlink(self, path: str, target: str) -> None:
        self.parents(path)
        self.entries[path] = Entry(tarfile.LNKTYPE, self.entries[target].mode, link=target)

    def parents(self, path: str) -> None:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            self.entries.setdefault("/".join(parts[:depth]), Entry(tarfile.DIRTYPE, 0o755))

    def layer(self) -> bytes:
        """An uncompressed tar: directories first by sorting, hard links after all that they can point at."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path, entry in sorted(self.entries.items(), key=lambda item: (item[1].kind == tarfile.LNKTYPE, item[0])):
                info = tarfile.TarInfo(path)
                info.type, info.mode, info.linkname = entry.kind, entry.mode, entry.link
                info.uid, info.gid, info.size = entry.uid, entry.gid, len(entry.content)
                tar.addfile(info, io.BytesIO(entry.content))
        return buffer.getvalue()
