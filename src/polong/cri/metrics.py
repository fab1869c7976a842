"""The metrics of RPCs ListMetricDescriptors and ListPodSandboxMetrics: the kubelet serves them at /metrics/cadvisor. Pure.

Names, types and units are cAdvisor's (google/cadvisor docs/storage/prometheus.md); which ones a kubelet looks for is listed in KEP-2371.
CRI's values are whole numbers: seconds are cut down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from polong.cri.kernel import CgroupUsage, Details, Interface
from polong.criapi.wire import v1

_LABELS = ("id", "name", "image", "container", "pod", "namespace")
_COUNTER, _GAUGE = v1.COUNTER, v1.GAUGE
_SECOND = 1_000_000_000
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Subject:
    """Whom metrics are of: the values of the labels."""

    id: str
    name: str
    image: str
    container: str
    pod: str
    namespace: str

    @property
    def labels(self) -> tuple[str, ...]:
        return self.id, self.name, self.image, self.container, self.pod, self.namespace


@dataclass(frozen=True)
class Disk:
    """What it wrote, and the file system where that is."""

    used: int = 0
    size: int = 0
    inodes: int = 0
    inodes_free: int = 0
    device: str = ""


@dataclass(frozen=True)
class Figures:
    """All that is known of one subject. `started` and `now` in nanoseconds since the epoch."""

    usage: CgroupUsage
    details: Details
    resources: v1.LinuxContainerResources
    disk: Disk
    interfaces: Sequence[Interface]
    open_files_limit: int
    started: int
    now: int


Values = Iterable[tuple[tuple[str, ...], int]]


@dataclass(frozen=True)
class _Family:
    """One metric; `values` gives each value with those of the `extra` labels."""

    name: str
    help: str
    kind: v1.MetricType.ValueType
    values: Callable[[Figures], Values]
    extra: tuple[str, ...] = ()


def _one(name: str, kind: v1.MetricType.ValueType, text: str, value: Callable[[Figures], int]) -> _Family:
    return _Family(name, text, kind, lambda figures: [((), value(figures))])


def _disk(name: str, kind: v1.MetricType.ValueType, text: str, value: Callable[[Figures], int]) -> _Family:
    return _Family(name, text, kind, lambda figures: [((figures.disk.device,), value(figures))], ("device",))


def _interface(name: str, text: str, value: Callable[[Interface], int]) -> _Family:
    return _Family(name, text, _COUNTER, lambda figures: [((each.name,), value(each)) for each in figures.interfaces], ("interface",))


def _pressure(kind: str, what: str, attribute: str) -> _Family:
    def values(figures: Figures) -> Values:
        found = figures.details.pressures.get(kind)
        return [] if found is None else [((), getattr(found, attribute) // _MICROSECONDS)]

    text = f"Time in seconds in which {'all' if attribute == 'full' else 'some'} tasks waited for {kind}."
    return _Family(f"container_pressure_{kind}_{what}_seconds_total", text, _COUNTER, values)


def _device_use(figures: Figures) -> Values:
    for each in figures.details.disks:
        yield (each.device, "Read"), each.read_bytes
        yield (each.device, "Write"), each.write_bytes


def _failures(figures: Figures) -> Values:
    for scope in ("container", "hierarchy"):
        yield ("pgfault", scope), figures.usage.page_faults
        yield ("pgmajfault", scope), figures.usage.major_page_faults


_FAMILIES: tuple[_Family, ...] = (
    _one("container_cpu_usage_seconds_total", _COUNTER, "Cumulative cpu time consumed in seconds.", lambda f: f.usage.cpu // _SECOND),
    _one("container_cpu_user_seconds_total", _COUNTER, "User cpu time in seconds.", lambda f: f.details.cpu_user // _SECOND),
    _one("container_cpu_system_seconds_total", _COUNTER, "System cpu time in seconds.", lambda f: f.details.cpu_system // _SECOND),
    _one("container_cpu_cfs_periods_total", _COUNTER, "Elapsed enforcement periods.", lambda f: f.details.cfs_periods),
    _one("container_cpu_cfs_throttled_periods_total", _COUNTER, "Throttled periods.", lambda f: f.details.cfs_throttled_periods),
    _one("container_cpu_cfs_throttled_seconds_total", _COUNTER, "Throttled time in seconds.", lambda f: f.details.cfs_throttled // _SECOND),
    _one("container_memory_usage_bytes", _GAUGE, "Current memory usage in bytes, all memory included.", lambda f: f.usage.memory),
    _one("container_memory_working_set_bytes", _GAUGE, "Current working set in bytes.", lambda f: f.usage.working_set),
    _one("container_memory_rss", _GAUGE, "Size of RSS in bytes.", lambda f: f.usage.rss),
    _one("container_memory_swap", _GAUGE, "Swap usage in bytes.", lambda f: f.usage.swap),
    _one("container_memory_cache", _GAUGE, "Page cache in bytes.", lambda f: f.details.memory_cache),
    _one("container_memory_mapped_file", _GAUGE, "Size of memory mapped files in bytes.", lambda f: f.details.memory_mapped),
    _one("container_memory_kernel_usage", _GAUGE, "Kernel memory in bytes.", lambda f: f.details.memory_kernel),
    _one("container_memory_max_usage_bytes", _GAUGE, "Most memory ever used, in bytes.", lambda f: f.details.memory_peak),
    _one("container_memory_failcnt", _COUNTER, "Times that memory usage hit its limit.", lambda f: f.details.memory_failures),
    _Family("container_memory_failures_total", "Cumulative count of page faults.", _COUNTER, _failures, ("failure_type", "scope")),
    _one("container_oom_events_total", _COUNTER, "Processes ended by the OOM killer.", lambda f: f.usage.oom_kills),
    _one("container_processes", _GAUGE, "Processes in the container.", lambda f: f.details.processes),
    _one("container_threads", _GAUGE, "Threads in the container.", lambda f: f.usage.pids),
    _one("container_threads_max", _GAUGE, "Most threads allowed, 0 where there is no limit.", lambda f: f.details.threads_max),
    _one("container_file_descriptors", _GAUGE, "Open file descriptors.", lambda f: f.details.descriptors),
    _one("container_sockets", _GAUGE, "Open sockets.", lambda f: f.details.sockets),
    _Family(
        "container_ulimits_soft",
        "Soft limits of the main process.",
        _GAUGE,
        lambda f: [(("max_open_files",), f.open_files_limit)],
        ("ulimit",),
    ),
    _one("container_spec_cpu_period", _GAUGE, "CPU period in microseconds.", lambda f: f.resources.cpu_period),
    _one("container_spec_cpu_quota", _GAUGE, "CPU quota in microseconds.", lambda f: max(0, f.resources.cpu_quota)),
    _one("container_spec_cpu_shares", _GAUGE, "CPU shares.", lambda f: f.resources.cpu_shares),
    _one("container_spec_memory_limit_bytes", _GAUGE, "Memory limit in bytes, 0 for none.", lambda f: f.resources.memory_limit_in_bytes),
    _one("container_spec_memory_reservation_limit_bytes", _GAUGE, "Memory reservation in bytes, 0 for none.", lambda _: 0),
    _one(
        "container_spec_memory_swap_limit_bytes",
        _GAUGE,
        "Limit of memory and swap in bytes, 0 for none.",
        lambda f: max(0, f.resources.memory_swap_limit_in_bytes),
    ),
    _one("container_start_time_seconds", _GAUGE, "Start time since the epoch in seconds.", lambda f: f.started // _SECOND),
    _one("container_last_seen", _GAUGE, "When this was read, in seconds since the epoch.", lambda f: f.now // _SECOND),
    _disk("container_fs_usage_bytes", _GAUGE, "Bytes written to the file system and still there.", lambda f: f.disk.used),
    _disk("container_fs_limit_bytes", _GAUGE, "Size of that file system in bytes.", lambda f: f.disk.size),
    _disk("container_fs_inodes_total", _GAUGE, "Inodes of that file system.", lambda f: f.disk.inodes),
    _disk("container_fs_inodes_free", _GAUGE, "Free inodes of that file system.", lambda f: f.disk.inodes_free),
    _Family("container_blkio_device_usage_total", "Bytes to and from a block device.", _COUNTER, _device_use, ("device", "operation")),
    _Family(
        "container_fs_reads_bytes_total",
        "Cumulative count of bytes read.",
        _COUNTER,
        lambda f: [((each.device,), each.read_bytes) for each in f.details.disks],
        ("device",),
    ),
    _Family(
        "container_fs_writes_bytes_total",
        "Cumulative count of bytes written.",
        _COUNTER,
        lambda f: [((each.device,), each.write_bytes) for each in f.details.disks],
        ("device",),
    ),
    _Family(
        "container_fs_reads_total",
        "Cumulative count of reads completed.",
        _COUNTER,
        lambda f: [((each.device,), each.reads) for each in f.details.disks],
        ("device",),
    ),
    _Family(
        "container_fs_writes_total",
        "Cumulative count of writes completed.",
        _COUNTER,
        lambda f: [((each.device,), each.writes) for each in f.details.disks],
        ("device",),
    ),
    _pressure("cpu", "waiting", "some"),
    _pressure("cpu", "stalled", "full"),
    _pressure("memory", "waiting", "some"),
    _pressure("memory", "stalled", "full"),
    _pressure("io", "waiting", "some"),
    _pressure("io", "stalled", "full"),
    _interface("container_network_receive_bytes_total", "Cumulative count of bytes received.", lambda i: i.rx_bytes),
    _interface("container_network_receive_packets_total", "Cumulative count of packets received.", lambda i: i.rx_packets),
    _interface("container_network_receive_errors_total", "Cumulative count of errors while receiving.", lambda i: i.rx_errors),
    _interface("container_network_receive_packets_dropped_total", "Packets dropped while receiving.", lambda i: i.rx_dropped),
    _interface("container_network_transmit_bytes_total", "Cumulative count of bytes sent.", lambda i: i.tx_bytes),
    _interface("container_network_transmit_packets_total", "Cumulative count of packets sent.", lambda i: i.tx_packets),
    _interface("container_network_transmit_errors_total", "Cumulative count of errors while sending.", lambda i: i.tx_errors),
    _interface("container_network_transmit_packets_dropped_total", "Packets dropped while sending.", lambda i: i.tx_dropped),
)


def descriptors() -> list[v1.MetricDescriptor]:
    return [v1.MetricDescriptor(name=each.name, help=each.help, label_keys=(*_LABELS, *each.extra)) for each in _FAMILIES]


def of(figures: Figures, subject: Subject) -> list[v1.Metric]:
    """Every metric that there is a figure for."""
    labels = subject.labels
    return [
        v1.Metric(
            name=family.name,
            timestamp=figures.now,
            metric_type=family.kind,
            label_values=(*labels, *extra),
            value=v1.UInt64Value(value=value),
        )
        for family in _FAMILIES
        for extra, value in family.values(figures)
    ]
