"""How much history is kept: enough for watches to resume and lists to page, bounded in time and in number."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from polong.kit import errors


@dataclass(frozen=True)
class Retention:
    """Changes stay for `seconds` (five minutes, as kube-apiserver compacts etcd), but never more than `revisions` of them."""

    seconds: float = 300.0
    revisions: int = 50_000


class Schedule:
    """Pure: fed with (moment, revision) samples, says up to where to compact."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._samples: deque[tuple[float, int]] = deque()

    def due(self, moment: float, revision: int) -> int:
        """The revision up to which history may be forgotten; 0 for none. `moment` is monotonic seconds."""
        self._samples.append((moment, revision))
        old = 0
        while self._samples and self._samples[0][0] <= moment - self._retention.seconds:
            old = self._samples.popleft()[1]
        return max(old, revision - self._retention.revisions, 0)


def check_readable(revision: int, compacted: int, current: int) -> None:
    """Gone where the state at `revision` has been forgotten, BadRequest where it is not there yet."""
    if revision < compacted:
        raise errors.Gone(f"revision {revision} has been compacted, the oldest is {compacted}", reason="Expired")
    if revision > current:
        raise errors.BadRequest(f"revision {revision} is in the future, the newest is {current}")


def check_resumable(revision: int, compacted: int) -> None:
    """Gone where changes after `revision` have been forgotten."""
    if revision < compacted:
        raise errors.Gone(f"revision {revision} has been compacted, the oldest is {compacted}", reason="Expired")
