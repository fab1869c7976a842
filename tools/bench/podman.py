"""podman: `podman kube play` and `podman kube down`, as its users type them. There is no daemon; each command is a process.

Its storage, networks and state lie in the work directory. Without systemd it needs cgroupfs; crun 1.8 refuses hybrid cgroups, hence runc.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from tools.bench.engine import BUSYBOX, IMAGES, NGINX, run, side_by_side, timed
from tools.bench.pods import page_pod

_CONTAINERS = """[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "none"
[network]
network_backend = "netavark"
network_config_dir = "{directory}/networks"
"""

_STORAGE = """[storage]
driver = "overlay"
graphroot = "{directory}/root"
runroot = "{directory}/run"
"""


class Podman:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._env = os.environ | {
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
            "TMPDIR": str(directory),
        }

    def _podman(self, *arguments: str) -> str:
        return run("podman", "--tmpdir", f"{self._directory}/tmp", *arguments, env=self._env)

    def versions(self) -> Mapping[str, str]:
        return {"podman": run("podman", "--version").split()[-1], "runc": run("runc", "--version").split()[2]}

    def set_up(self) -> None:
        (self._directory / "containers.conf").write_text(_CONTAINERS.format(directory=self._directory))
        (self._directory / "storage.conf").write_text(_STORAGE.format(directory=self._directory))
        for name, archive in ((NGINX, "nginx.tar"), (BUSYBOX, "busybox.tar")):
            identifier = self._podman("pull", "-q", f"oci-archive:{IMAGES / archive}").split()[-1]
            self._podman("tag", identifier, name)

    def _manifest(self, number: int) -> str:
        path = self._directory / f"bench-{number}.yaml"
        path.write_text(yaml.safe_dump(page_pod(number)))
        return str(path)

    def start(self, number: int) -> float:
        manifest = self._manifest(number)
        return timed(lambda: self._podman("kube", "play", manifest))

    def remove(self, number: int) -> float:
        manifest = self._manifest(number)
        return timed(lambda: self._podman("kube", "down", manifest))

    def kill(self, number: int) -> float:
        return timed(lambda: self._podman("pod", "rm", "--force", "--time", "0", f"bench-{number}"))

    def execute(self, number: int) -> float:
        return timed(lambda: self._podman("exec", f"bench-{number}-shell", "true"))

    def start_all(self, numbers: Sequence[int]) -> float:
        return side_by_side(self.start, numbers)

    def kill_all(self, numbers: Sequence[int]) -> float:
        return side_by_side(self.kill, numbers)

    def pull(self, image: str) -> float:
        """An image that is not there; it is taken away again."""
        took = timed(lambda: self._podman("pull", "-q", "--tls-verify=false", image))
        self._podman("rmi", image)
        return took

    def daemon_pids(self) -> Sequence[int]:
        return ()

    def close(self) -> None:
        self._podman("pod", "rm", "--all", "--force", "--time", "0")
