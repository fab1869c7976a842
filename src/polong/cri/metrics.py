"""The metrics of RPCs ListMetricDescriptors and ListPodSandboxMetrics: the kubelet serves them at /metrics/cadvisor. Pure.

Names, types and units are cAdvisor's, as far as this runtime has the figures (google/cadvisor docs/storage/prometheus.md). CRI's values
are whole numbers: seconds are cut down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from polong.cri.kernel import CgroupUsage, Interface
from polong.criapi.wire import v1

_LABELS = ("id", "name", "image", "container", "pod", "namespace")
_COUNTER, _GAUGE = v1.COUNTER, v1.GAUGE


@dataclass(frozen=True)
class Subject:
    """Whom metrics are of, in the order of the labels. `started` in nanoseconds since the epoch, `limit` in bytes (0: none)."""

    id: str
    name: str
    image: str
    container: str
    pod: str
    namespace: str
    started: int = 0
    limit: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        return self.id, self.name, self.image, self.container, self.pod, self.namespace


@dataclass(frozen=True)
class _Usage:
    name: str
    help: str
    kind: v1.MetricType.ValueType
    value: Callable[[CgroupUsage, Subject], int]


@dataclass(frozen=True)
class _Network:
    name: str
    help: str
    value: Callable[[Interface], int]


_USAGE = (
    _Usage("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", _COUNTER, lambda u, _: u.cpu // 1_000_000_000),
    _Usage("container_memory_usage_bytes", "Current memory usage in bytes, including all memory.", _GAUGE, lambda u, _: u.memory),
    _Usage("container_memory_working_set_bytes", "Current working set in bytes.", _GAUGE, lambda u, _: u.working_set),
    _Usage("container_memory_rss", "Size of RSS in bytes.", _GAUGE, lambda u, _: u.rss),
    _Usage("container_memory_swap", "Container swap usage in bytes.", _GAUGE, lambda u, _: u.swap),
    _Usage("container_memory_page_faults_total", "Cumulative count of page faults.", _COUNTER, lambda u, _: u.page_faults),
    _Usage("container_memory_major_page_faults_total", "Cumulative count of major faults.", _COUNTER, lambda u, _: u.major_page_faults),
    _Usage("container_processes", "Number of tasks inside the container.", _GAUGE, lambda u, _: u.pids),
    _Usage("container_oom_events_total", "Count of out of memory events observed.", _COUNTER, lambda u, _: u.oom_kills),
    _Usage("container_spec_memory_limit_bytes", "Memory limit, 0 where there is none.", _GAUGE, lambda _, s: s.limit),
    _Usage("container_start_time_seconds", "Start time since the epoch in seconds.", _GAUGE, lambda _, s: s.started // 1_000_000_000),
)
_NETWORK = (
    _Network("container_network_receive_bytes_total", "Cumulative count of bytes received.", lambda i: i.rx_bytes),
    _Network("container_network_receive_packets_total", "Cumulative count of packets received.", lambda i: i.rx_packets),
    _Network("container_network_receive_errors_total", "Cumulative count of errors while receiving.", lambda i: i.rx_errors),
    _Network("container_network_receive_packets_dropped_total", "Cumulative count of packets dropped in.", lambda i: i.rx_dropped),
    _Network("container_network_transmit_bytes_total", "Cumulative count of bytes sent.", lambda i: i.tx_bytes),
    _Network("container_network_transmit_packets_total", "Cumulative count of packets sent.", lambda i: i.tx_packets),
    _Network("container_network_transmit_errors_total", "Cumulative count of errors while sending.", lambda i: i.tx_errors),
    _Network("container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped out.", lambda i: i.tx_dropped),
)


def descriptors() -> list[v1.MetricDescriptor]:
    own = [v1.MetricDescriptor(name=each.name, help=each.help, label_keys=_LABELS) for each in _USAGE]
    network = [v1.MetricDescriptor(name=each.name, help=each.help, label_keys=(*_LABELS, "interface")) for each in _NETWORK]
    return own + network


def of_cgroup(usage: CgroupUsage, subject: Subject, now: int) -> list[v1.Metric]:
    return [_metric(each.name, each.kind, subject.labels, each.value(usage, subject), now) for each in _USAGE]


def of_interfaces(interfaces: Sequence[Interface], subject: Subject, now: int) -> list[v1.Metric]:
    return [
        _metric(each.name, _COUNTER, (*subject.labels, interface.name), each.value(interface), now)
        for interface in interfaces
        for each in _NETWORK
    ]


def _metric(name: str, kind: v1.MetricType.ValueType, labels: Sequence[str], value: int, now: int) -> v1.Metric:
    return v1.Metric(name=name, timestamp=now, metric_type=kind, label_values=labels, value=v1.UInt64Value(value=value))
