"""/metrics: what the API counts of itself and of the Pods that it holds, and what the node adds (`api.ports.Metrics`).

Names: kube-apiserver's, kube-state-metrics' and prometheus' process collector's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from polong.api import paths
from polong.api.service import Request, Response
from polong.kit import metrics
from polong.kit.errors import PolongError
from polong.kit.metrics import Family
from polong.objects import pod as pods
from polong.objects.status import failure

Json = dict[str, Any]

PATH = "/metrics"
HEADERS = {"Content-Type": metrics.CONTENT_TYPE, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

_VERBS = {
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
}
_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


class ApiMetrics:
    """`known` says whether a resource exists: what a client invents becomes no label."""

    def __init__(self, known: Callable[[paths.Target], bool], version: Mapping[str, str]) -> None:
        self._known = known
        self._version = version
        labels = ("verb", "group", "version", "resource", "subresource")
        self._requests = metrics.counter("apiserver_request_total", "Requests answered, by code.", *labels, "code")
        self._durations = metrics.Histogram("apiserver_request_duration_seconds", "Time to the answer; of a watch, to its begin.", labels)
        self._inflight = metrics.gauge("apiserver_current_inflight_requests", "Requests that wait for their answer.", "request_kind")

    async def measured(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """The answer, counted."""
        began, code = time.perf_counter(), 500
        kind = "readOnly" if request.method in ("GET", "HEAD") else "mutating"
        self._inflight.add(kind)
        try:
            response = await answer(request)
            code = response.status
            return response
        except PolongError as error:
            code = failure(error)["code"]
            raise
        finally:
            self._inflight.add(kind, by=-1)
            labels = self._labels(request, code)
            self._requests.add(*labels, str(code))
            self._durations.observe(time.perf_counter() - began, *labels)

    def _labels(self, request: Request, code: int) -> tuple[str, ...]:
        target = paths.parse(request.path)
        if target is None or not self._known(target):
            return (request.method if request.method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "OTHER", "", "", "", "")
        verb = paths.verb(request.method, target, dict(request.query))
        return (_VERBS.get(verb, "OTHER"), target.group, target.version, target.resource, target.subresource if code != 404 else "")

    def text(self, listed: Iterable[Json], objects: Mapping[str, int]) -> str:
        """`listed` are all Pods, `objects` the number of stored objects by resource."""
        held = metrics.gauge("apiserver_storage_objects", "Stored objects.", "resource")
        for resource, count in objects.items():
            held.set(count, resource)
        own: list[Family | metrics.Histogram] = [self._requests, self._durations, self._inflight, held]
        return metrics.text([*own, *_of_pods(listed), *self._builds(), *process()])

    def _builds(self) -> list[Family]:
        info = metrics.gauge("kubernetes_build_info", "The version that this API follows.", "major", "minor", "git_version", "platform")
        info.set(1, *(self._version.get(key, "") for key in ("major", "minor", "gitVersion", "platform")))
        return [info]


def _of_pods(listed: Iterable[Json]) -> list[Family]:
    place = ("namespace", "pod", "uid")
    phase = metrics.gauge("kube_pod_status_phase", "1 for the phase that the Pod is in.", *place, "phase")
    ready = metrics.gauge("kube_pod_status_ready", "1 where the condition Ready has that status.", *place, "condition")
    restarts = metrics.counter("kube_pod_container_status_restarts_total", "Restarts of a container.", *place, "container")
    waiting = metrics.gauge("kube_pod_container_status_waiting_reason", "1 for why it waits.", *place, "container", "reason")
    ended = metrics.gauge(
        "kube_pod_container_status_last_terminated_reason", "1 for the reason that its last end had.", *place, "container", "reason"
    )
    shared = metrics.gauge("polong_pod_shares_process_namespace", "1 where its containers see each other's processes.", *place)
    for pod in listed:
        at = pods.namespace(pod), pods.name(pod), pods.uid(pod)
        found = pods.status(pod)
        for each in _PHASES:
            phase.set(found.get("phase") == each, *at, each)
        state = next((each.get("status", "") for each in found.get("conditions") or () if each.get("type") == "Ready"), "Unknown")
        for each in ("true", "false", "unknown"):
            ready.set(str(state).lower() == each, *at, each)
        shared.set(pods.shares_process_namespace(pod), *at)
        for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
            for container in found.get(field) or ():
                restarts.set(container.get("restartCount", 0), *at, container["name"])
                if reason := ((container.get("state") or {}).get("waiting") or {}).get("reason"):
                    waiting.set(1, *at, container["name"], reason)
                if reason := ((container.get("lastState") or {}).get("terminated") or {}).get("reason"):
                    ended.set(1, *at, container["name"], reason)
    return [phase, ready, restarts, waiting, ended, shared]


def process(root: Path = Path("/proc")) -> list[Family]:
    """Of the daemon itself."""
    stat = (root / "self/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    booted = next(float(line.split()[1]) for line in (root / "stat").read_text().splitlines() if line.startswith("btime "))
    figures = {
        ("process_cpu_seconds_total", "CPU time of the daemon.", "counter"): (int(stat[11]) + int(stat[12])) / ticks,
        ("process_resident_memory_bytes", "Resident memory of the daemon.", "gauge"): int(stat[21]) * os.sysconf("SC_PAGE_SIZE"),
        ("process_virtual_memory_bytes", "Virtual memory of the daemon.", "gauge"): int(stat[20]),
        ("process_open_fds", "Open descriptors of the daemon.", "gauge"): sum(1 for _ in (root / "self/fd").iterdir()),
        ("process_start_time_seconds", "When the daemon started, since 1970.", "gauge"): booted + int(stat[19]) / ticks,
    }
    return [Family(name, text, kind, (), {(): float(value)}) for (name, text, kind), value in figures.items()]
