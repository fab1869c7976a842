"""The `ProcessList` of polong.dev/v1alpha1, from what was read and told of processes. Pure, but for the one look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from polong.kubelet.host.processes import Details, Group, Reader, Told, classify
from polong.linux import capabilities, proc

Json = dict[str, Any]

API_VERSION = "polong.dev/v1alpha1"
# linux/seccomp.h: SECCOMP_MODE_*.
_SECCOMP = {0: "Disabled", 1: "Strict", 2: "Filter"}


def process_list(pod: Json, groups: Sequence[Group], reader: Reader, *, full: bool = False) -> Json:
    """Every process of the Pod now; shapes: `api.ports.Node.processes`. Blocking."""
    look = reader.read(groups, full=full)
    made = Items(reader)
    listing: Json = {
        "kind": "ProcessList",
        "apiVersion": API_VERSION,
        "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "uid") if key in pod["metadata"]},
        "items": [made.item(each) for each in classify(look.found)],
    }
    if look.vanished:
        listing["vanished"] = [{"container": each.group.container, "hostPID": each.pid} for each in look.vanished]
    return listing


class Items:
    """Makes items; knows the clock of the machine on which they were read."""

    def __init__(self, reader: Reader) -> None:
        self._ticks = reader.ticks
        self._page = reader.page
        self._booted = reader.booted()
        self._times: dict[int, str] = {}

    def item(self, told: Told) -> Json:
        found, stat, ids = told.found, told.found.stat, told.found.ids
        parent = told.parent
        visible = parent is not None and parent.namespace == found.namespace
        item: Json = {
            "container": found.group.container,
            "containerID": found.group.id,
            "role": told.role,
            "pid": ids.pids[-1],
            "hostPID": stat.pid,
            "parentPID": parent.ids.pids[-1] if parent is not None and visible else 0,
            "parentHostPID": stat.ppid if parent is not None else 0,
            "pidNamespace": str(found.namespace) if found.namespace else "",
            "uid": ids.uid,
            "gid": ids.gid,
            "containerUID": found.inside[0],
            "containerGID": found.inside[1],
            "user": found.user,
            "state": stat.state,
            "startTime": self._started(stat.start_time),
            "startTicks": stat.start_time,
            "cpuSeconds": round((stat.utime + stat.stime) / self._ticks, 2),
            "rssBytes": stat.rss * self._page,
            "threads": stat.threads,
            "name": _text(stat.comm),
            "command": [_text(each) for each in found.command],
            "executed": told.role in ("exec", "probe", "hook"),
            "orphan": told.role == "orphan",
            "zombie": told.zombie,
        }
        if found.details is not None:
            item |= _more(found.details, found.group.cgroup)
        return item

    def _started(self, start: int) -> str:
        second = start // self._ticks
        if second not in self._times:
            self._times[second] = datetime.fromtimestamp(self._booted + second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._times[second]


def _more(details: Details, cgroup: str) -> Json:
    status, rollup = details.status, details.rollup
    return {
        "cgroup": cgroup,
        "pids": list(status.ns_pids),
        "groups": list(status.groups),
        "capabilities": _capabilities(status),
        "noNewPrivileges": status.no_new_privileges,
        "seccomp": _SECCOMP.get(status.seccomp, str(status.seccomp)),
        "dumpable": details.dumpable,
        "userNamespace": str(details.user_namespace) if details.user_namespace else "",
        "pssBytes": rollup.pss if rollup else None,
        "swapBytes": rollup.swap if rollup else None,
        "openFiles": details.open_files,
    }


def _capabilities(status: proc.Status) -> Json:
    """Names without CAP_, as Pods write them."""
    sets = {
        "effective": status.cap_effective,
        "permitted": status.cap_permitted,
        "bounding": status.cap_bounding,
        "ambient": status.cap_ambient,
        "inheritable": status.cap_inheritable,
    }
    return {name: capabilities.names(bits) for name, bits in sets.items()}


def _text(raw: str) -> str:
    """Bytes that are no UTF-8 cannot stand in JSON."""
    return raw if raw.isascii() else raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
