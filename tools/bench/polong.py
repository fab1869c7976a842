"""Polong twice: through its API as any Kubernetes client (the figures that the ratios use), and by its command line as podman is."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tools.bench.engine import IMAGES, run, side_by_side, timed, until
from tools.bench.kube_api import KubeApi
from tools.bench.pods import page_pod

from polong import __version__

_PODS = "/api/v1/namespaces/default/pods"


class _Node:
    """A node of its own: root in the work directory, a free port, its own Pod network."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"

    def command(self, *arguments: str) -> str:
        verb, *rest = arguments
        return run(sys.executable, "-m", "polong", verb, "--root", str(self.root), *rest)

    def up(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.command("up", "--port", str(port), "--pod-cidr", "10.98.0.0/16")
        for archive in ("nginx.tar", "busybox.tar"):
            run(sys.executable, "-m", "polong", "images", "import", "--root", str(self.root), str(IMAGES / archive))

    def daemon_pids(self) -> Sequence[int]:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_daemon(entry)]

    def _is_daemon(self, entry: Path) -> bool:
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"serve" in words and any(str(self.root).encode() in word for word in words)

    def down(self) -> None:
        if self.root.exists():
            self.command("down")


class Polong:
    def __init__(self, directory: Path) -> None:
        self._node = _Node(directory)
        self._api: KubeApi | None = None
        self._running: dict[int, dict[str, Any]] = {}

    def versions(self) -> Mapping[str, str]:
        return {"polong": __version__, "crun": run("crun", "--version").split()[2]}

    def set_up(self) -> None:
        self._node.up()
        self._api = KubeApi(self._node.root / "kubeconfig")

    def start(self, number: int) -> float:
        assert self._api is not None
        api, pod = self._api, page_pod(number)
        since = api.request("GET", _PODS)["metadata"]["resourceVersion"]
        events = api.watch(_PODS, fieldSelector=f"metadata.name=bench-{number}", resourceVersion=since)
        return timed(lambda: self._start(api, number, pod, events))

    def _start(self, api: KubeApi, number: int, pod: dict[str, Any], events: Any) -> None:
        api.request("POST", _PODS, pod)
        for event in events:
            states = event["object"].get("status", {}).get("containerStatuses", [])
            if len(states) == 2 and all("running" in each.get("state", {}) for each in states):
                self._running[number] = event["object"]
                return
        raise RuntimeError(f"the watch ended before bench-{number} was running")

    def remove(self, number: int) -> float:
        return self._gone(number, {})

    def kill(self, number: int) -> float:
        return self._gone(number, {"gracePeriodSeconds": 0})

    def _gone(self, number: int, options: dict[str, Any]) -> float:
        """Until the object is gone from the API and nothing of the Pod is left in the kernel: no cgroup of its UID."""
        assert self._api is not None
        api, uid = self._api, self._running.pop(number)["metadata"]["uid"]
        cgroups = list(cgroups_of(uid))
        if not cgroups:
            raise RuntimeError(f"no cgroup of bench-{number} is to be found")
        since = api.request("GET", _PODS)["metadata"]["resourceVersion"]
        events = api.watch(_PODS, fieldSelector=f"metadata.name=bench-{number}", resourceVersion=since)
        return timed(lambda: self._remove(api, number, options, events, cgroups))

    @staticmethod
    def _remove(api: KubeApi, number: int, options: dict[str, Any], events: Any, cgroups: list[Path]) -> None:
        api.request("DELETE", f"{_PODS}/bench-{number}", options)
        for event in events:
            if event["type"] == "DELETED":
                break
        until(lambda: not any(each.exists() for each in cgroups), f"cgroups of bench-{number} remain")

    def execute(self, number: int) -> float:
        assert self._api is not None
        api = self._api

        def go() -> None:
            if (code := api.execute(f"{_PODS}/bench-{number}", ["true"], "shell")) != 0:
                raise RuntimeError(f"exec of true ended with {code}")

        return timed(go)

    def start_all(self, numbers: Sequence[int]) -> float:
        """All of them asked for, then waited for: the node works on as many at a time as it finds right."""
        assert self._api is not None
        api = self._api

        def go() -> None:
            for number in numbers:
                api.request("POST", _PODS, page_pod(number))
            until(lambda: _running(api) >= len(numbers), "not all Pods run", 600)

        return timed(go)

    def kill_all(self, numbers: Sequence[int]) -> float:
        assert self._api is not None
        api = self._api
        cgroups = [each for pod in api.request("GET", _PODS)["items"] for each in cgroups_of(pod["metadata"]["uid"])]

        def go() -> None:
            api.request("DELETE", _PODS, {"gracePeriodSeconds": 0})
            until(lambda: not api.request("GET", f"{_PODS}?limit=1")["items"], "not all Pods are gone", 600)
            until(lambda: not any(each.exists() for each in cgroups), "cgroups remain")

        return timed(go)

    def daemon_pids(self) -> Sequence[int]:
        return self._node.daemon_pids()

    def close(self) -> None:
        self._node.down()


def _running(api: KubeApi) -> int:
    time.sleep(0.05)
    pods = api.request("GET", _PODS)["items"]
    states = ([each.get("state", {}) for each in pod.get("status", {}).get("containerStatuses", [])] for pod in pods)
    return sum(len(each) == 2 and all("running" in state for state in each) for each in states)


def cgroups_of(uid: str) -> list[Path]:
    """Cgroups of a Pod carry its UID in their path, in every hierarchy that is mounted."""
    names = {uid, uid.replace("-", "_")}
    # os.walk passes over what others remove meanwhile.
    directories = (Path(top) / each for top, below, _ in os.walk("/sys/fs/cgroup") for each in below)
    return [path for path in directories if any(name in path.name for name in names)]


class PolongCommand:
    """`polong apply` and `polong wait`, `polong delete`, `polong exec`: processes, as podman's commands are."""

    def __init__(self, directory: Path) -> None:
        self._node = _Node(directory)
        self._directory = directory

    def versions(self) -> Mapping[str, str]:
        return {}

    def set_up(self) -> None:
        self._node.up()

    def start(self, number: int) -> float:
        manifest = self._directory / f"bench-{number}.yaml"
        manifest.write_text(yaml.safe_dump(page_pod(number)))

        def go() -> None:
            self._node.command("apply", "-f", str(manifest))
            self._node.command("wait", "--for=condition=Ready", f"pod/bench-{number}", "--timeout=60s")

        return timed(go)

    def remove(self, number: int) -> float:
        return timed(lambda: self._node.command("delete", "pod", f"bench-{number}"))

    def kill(self, number: int) -> float:
        return timed(lambda: self._node.command("delete", "pod", f"bench-{number}", "--grace-period=0", "--force"))

    def execute(self, number: int) -> float:
        return timed(lambda: self._node.command("exec", f"bench-{number}", "-c", "shell", "--", "true"))

    def start_all(self, numbers: Sequence[int]) -> float:
        return side_by_side(self.start, numbers)

    def kill_all(self, numbers: Sequence[int]) -> float:
        return side_by_side(self.kill, numbers)

    def daemon_pids(self) -> Sequence[int]:
        return self._node.daemon_pids()

    def close(self) -> None:
        self._node.down()
