"""Which ids of a user namespace are which outside of it: /proc/PID/uid_map and gid_map (user_namespaces(7))."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polong.linux import proc


@dataclass(frozen=True)
class IdMap:
    """(inside, outside, count) each."""

    ranges: tuple[tuple[int, int, int], ...]

    @classmethod
    def read(cls, pid: int, name: str, root: Path = proc.PROC) -> IdMap:
        lines = (root / str(pid) / name).read_text("ascii").splitlines()
        return cls(tuple((int(words[0]), int(words[1]), int(words[2])) for words in map(str.split, lines) if len(words) == 3))

    def inside(self, outside: int) -> int | None:
        for first, base, count in self.ranges:
            if base <= outside < base + count:
                return first + outside - base
        return None


IDENTITY = IdMap(((0, 0, (1 << 32) - 1),))
"""Of the initial user namespace."""
