"""When the machine goes down: Pods end in the order of their priority, each group within its time. Pure.

Source: KEP-2000, KEP-2712, kubelet nodeshutdown/nodeshutdown_manager.go (order and texts).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from polong.kubelet.decisions import Verdict
from polong.kubelet.pressure import priority
from polong.objects import pod as pods

Json = dict[str, Any]

REASON, MESSAGE = "Terminated", "Pod was terminated in response to imminent node shutdown."
REFUSED = Verdict("NodeShutdown", "Pod was rejected as the node is shutting down.", 0)
NOT_READY = "node is shutting down"


@dataclass(frozen=True)
class Group:
    """Pods that end together; `seconds` bounds their graces, None leaves each its own."""

    pods: tuple[Json, ...]
    seconds: int | None


def groups(periods: Sequence[tuple[int, int]], running: Iterable[Json]) -> list[Group]:
    """Lowest priority first. Without periods all end together."""
    running = list(running)
    if not periods:
        return [Group(tuple(running), None)] if running else []
    held: dict[int, list[Json]] = {}
    ordered = sorted(periods)
    for pod in running:
        # What is below the lowest belongs to it.
        place = max((index for index, (least, _) in enumerate(ordered) if least <= priority(pod)), default=0)
        held.setdefault(place, []).append(pod)
    return [Group(tuple(held[index]), ordered[index][1]) for index in sorted(held)]


def verdict(pod: Json, group: Group) -> Verdict:
    grace = pods.grace_seconds(pod)
    return Verdict(REASON, MESSAGE, grace if group.seconds is None else min(grace, group.seconds), disruption=True)


def longest(group: Group) -> int:
    """Seconds that the group may take."""
    return max((verdict(pod, group).grace or 0 for pod in group.pods), default=0)
