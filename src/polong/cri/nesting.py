"""Which mounts of a container lie below others of its mounts, and are therefore put together before the OCI runtime sees them. Pure.

See `linux.assembly` for why. Left to the runtime: what a privileged container mounts, for it owns the host anyway, and mounts with
propagation, which would not survive being put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from polong.criapi.wire import v1
from polong.linux.assembly import Piece


def plan(mounts: Sequence[v1.Mount], resolve: Callable[[str], str]) -> dict[int, list[int]]:
    """Indexes of mounts to the indexes of those below them, parents first. `resolve` gives where a destination really is in the image."""
    where = {number: resolve(mount.container_path).rstrip("/") for number, mount in enumerate(mounts) if mount.host_path}
    found: dict[int, list[int]] = {}
    for number in sorted(where, key=lambda each: where[each].count("/")):
        above = [each for each in where if each != number and where[number].startswith(f"{where[each]}/")]
        if above:
            found.setdefault(min(above, key=lambda each: len(where[each])), []).append(number)
    return {top: inner for top, inner in found.items() if all(_private(mounts[each]) for each in (top, *inner))}


def _private(mount: v1.Mount) -> bool:
    return bool(mount.propagation == v1.PROPAGATION_PRIVATE)


def pieces(mounts: Sequence[v1.Mount], top: int, inner: Sequence[int], resolve: Callable[[str], str]) -> list[Piece]:
    """What `linux.assembly` puts together."""
    above = resolve(mounts[top].container_path).rstrip("/")
    return [
        Piece(
            mount.host_path,
            resolve(mount.container_path)[len(above) + 1 :] if number != top else "",
            readonly=mount.readonly,
            recursive_read_only=mount.recursive_read_only,
        )
        for number, mount in ((each, mounts[each]) for each in (top, *inner))
    ]
