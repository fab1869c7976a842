"""persistentVolumeClaim: a directory of the node, `<root>/claims/<volume>`, that outlives the Pods that use it.

Made when the first Pod mounts it, mode 0777 as local provisioners make it; removed (by the collector) once its claim is gone.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition
from polong.kubelet.volumes import ownership, removal

Json = dict[str, Any]

# A volume's name comes from the API and becomes a directory name.
_PLAIN = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-")


class ClaimVolumes:
    """Blocks: call it in a thread."""

    def __init__(self, root: Path) -> None:
        self._top = root / "claims"

    def set_up(self, name: str, claim: Json | None, fs_group: int | None, policy: str) -> Path:
        """The directory behind a claim. FailedPrecondition where there is no claim, or none that is bound."""
        if claim is None:
            raise FailedPrecondition(f'persistentvolumeclaim "{name}" not found')
        volume = str((claim.get("spec") or {}).get("volumeName") or "")
        if (claim.get("status") or {}).get("phase") != "Bound" or not volume:
            raise FailedPrecondition(f'persistentvolumeclaim "{name}" is not bound to a volume yet')
        if not set(volume) <= _PLAIN:
            raise FailedPrecondition(f'persistentvolumeclaim "{name}" is bound to {volume[:80]!r}, which is no name of a volume')
        self._top.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._top / volume
        if not path.is_dir():
            fresh = self._top / f".{volume}"
            fresh.mkdir(mode=0o777, exist_ok=True)
            # Explicit: mkdir's mode went through the umask.
            fresh.chmod(0o777)
            fresh.rename(path)
        if fs_group is not None:
            ownership.set_group(path, fs_group, policy)
        return path

    def held(self) -> set[str]:
        """Volumes that have a directory."""
        return {each.name for each in self._top.iterdir() if set(each.name) <= _PLAIN} if self._top.is_dir() else set()

    def remove(self, volumes: Collection[str]) -> None:
        for volume in volumes:
            removal.remove(self._top / volume)
