"""What cgroups, interfaces and writable layers used, in CRI's messages. Times in nanoseconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polong.cri.kernel import CgroupUsage, Interface
from polong.criapi.wire import v1

# Shorter than this a rate says more of the moment than of the load.
_SHORTEST = 500_000_000
_KEPT = 60_000_000_000
_WALK_AGAIN = 10_000_000_000
_DEFAULT_INTERFACE = "eth0"


@dataclass
class _Sample:
    at: int
    cpu: int
    rate: int | None = None


class Rates:
    """CPU use as a rate, between one reading and the next. A reading that comes too soon repeats the last rate; after a long silence
    there is none until the next one."""

    def __init__(self) -> None:
        self._samples: dict[str, _Sample] = {}

    def of(self, key: str, now: int, cpu: int) -> int | None:
        """Nanocores, None where nothing can be said yet."""
        last = self._samples.get(key)
        if last is None or cpu < last.cpu or now - last.at > _KEPT:
            self._samples[key] = _Sample(now, cpu)
            return None
        if now - last.at >= _SHORTEST:
            self._samples[key] = _Sample(now, cpu, (cpu - last.cpu) * 1_000_000_000 // (now - last.at))
        return self._samples[key].rate

    def forget(self, key: str) -> None:
        """Idempotent."""
        self._samples.pop(key, None)


class Layers:
    """What a walk through a writable layer found, and when: kubelets ask for it every ten seconds, and a walk may be long."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int, int]] = {}

    def known(self, key: str, now: int) -> tuple[int, int, int] | None:
        """(time, bytes, inodes) of a walk that is recent enough."""
        found = self._found.get(key)
        return found if found is not None and 0 <= now - found[0] < _WALK_AGAIN else None

    def keep(self, key: str, found: tuple[int, int, int]) -> None:
        self._found[key] = found

    def forget(self, key: str) -> None:
        """Idempotent."""
        self._found.pop(key, None)


def cpu(usage: CgroupUsage, now: int, rate: int | None) -> v1.CpuUsage:
    result = v1.CpuUsage(timestamp=now, usage_core_nano_seconds=v1.UInt64Value(value=usage.cpu))
    if rate is not None:
        result.usage_nano_cores.value = rate
    return result


def memory(usage: CgroupUsage, now: int, limit: int) -> v1.MemoryUsage:
    """`limit` 0 is none: then nothing can be said of what is available."""
    result = v1.MemoryUsage(
        timestamp=now,
        working_set_bytes=v1.UInt64Value(value=usage.working_set),
        usage_bytes=v1.UInt64Value(value=usage.memory),
        rss_bytes=v1.UInt64Value(value=usage.rss),
        page_faults=v1.UInt64Value(value=usage.page_faults),
        major_page_faults=v1.UInt64Value(value=usage.major_page_faults),
    )
    if limit > 0:
        result.available_bytes.value = max(0, limit - usage.working_set)
    return result


def swap(usage: CgroupUsage, now: int) -> v1.SwapUsage:
    return v1.SwapUsage(timestamp=now, swap_usage_bytes=v1.UInt64Value(value=usage.swap))


def layer(found: tuple[int, int, int], place: Path) -> v1.FilesystemUsage:
    at, used, inodes = found
    return v1.FilesystemUsage(
        timestamp=at,
        fs_id=v1.FilesystemIdentifier(mountpoint=str(place)),
        used_bytes=v1.UInt64Value(value=used),
        inodes_used=v1.UInt64Value(value=inodes),
    )


def network(interfaces: Sequence[Interface], now: int) -> v1.NetworkUsage:
    """The Pod's own interface by itself, and all of them."""
    result = v1.NetworkUsage(timestamp=now, interfaces=[_interface(each) for each in interfaces])
    default = next((each for each in result.interfaces if each.name == _DEFAULT_INTERFACE), next(iter(result.interfaces), None))
    if default is not None:
        result.default_interface.CopyFrom(default)
    return result


def _interface(found: Interface) -> v1.NetworkInterfaceUsage:
    return v1.NetworkInterfaceUsage(
        name=found.name,
        rx_bytes=v1.UInt64Value(value=found.rx_bytes),
        rx_errors=v1.UInt64Value(value=found.rx_errors),
        tx_bytes=v1.UInt64Value(value=found.tx_bytes),
        tx_errors=v1.UInt64Value(value=found.tx_errors),
    )
