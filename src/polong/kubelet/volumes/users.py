"""The ids of Pods with users of their own (hostUsers: false, KEP-127): each Pod has a range of 65536 on the host that no other has.

Which one is written in the Pod's directory, before anything is made with it, and is free again when that directory is gone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition
from polong.kubelet.security import IDS, UserRange
from polong.objects import pod as pods

Json = dict[str, Any]

# systemd's documentation of user ids leaves these to nobody: above all ids of users and their subordinate ones, below what a signed
# number holds (UIDS-GIDS.md).
_FIRST = 1_879_048_192
_RANGES = 4_094
_FILE = "users"
_REASON = "FailedCreatePodSandBox"


def range_of(pod: Json, directory: Path) -> UserRange | None:
    """None for a Pod of the host's users. `directory` is the Pod's, one of those of all Pods; it exists. FailedPrecondition where no range
    is left, or what is written there is none."""
    if pods.spec(pod).get("hostUsers") is not False:
        return None
    file = directory / _FILE
    if file.exists():
        first = _read(file)
        if first is None:
            raise FailedPrecondition(f"cannot tell the ids of the Pod: {file} is damaged; delete the Pod", reason=_REASON)
        return UserRange(first)
    taken = {_read(each) for each in directory.parent.glob(f"*/{_FILE}")}
    free = (first for number in range(_RANGES) if (first := _FIRST + number * IDS) not in taken)
    first = next(free, None)
    if first is None:
        raise FailedPrecondition(f"no range of ids is left for a Pod with hostUsers: false: {_RANGES} are in use", reason=_REASON)
    file.write_text(f"{first}\n", encoding="ascii")
    return UserRange(first)


def _read(file: Path) -> int | None:
    try:
        first = int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return first if first >= _FIRST and (first - _FIRST) % IDS == 0 else None
