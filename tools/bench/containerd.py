"""containerd: its CRI plugin over its own socket, with the calls in the order in which a kubelet makes them.

That measures the time inside the server; no command line and no kubelet stand in between, which favours containerd.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench import pause_image
from tools.bench.crilife import CriLife
from tools.bench.engine import BUSYBOX, GRACE, IMAGES, NGINX, run, timed, until

from polong.criapi.wire import v1

_PAUSE = "localhost/polong-bench/pause:1"

_CONFIG = """version = 2
root = "{d}/root"
state = "{d}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{d}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{d}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{d}/cni"
"""

# What containerd's own documentation installs, but for the names.
_NETWORK: dict[str, Any] = {
    "cniVersion": "0.4.0",
    "name": "bench",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "bench0",
            "isGateway": True,
            "ipMasq": True,
            "promiscMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


class Containerd:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._daemon: subprocess.Popen[bytes] | None = None
        self.cri = CriLife(directory / "containerd.sock", directory, "/polong-bench-containerd")
        self._pods: dict[int, tuple[str, list[str]]] = {}

    def versions(self) -> Mapping[str, str]:
        return {"containerd": run("containerd", "--version").split()[2].split("~")[0], "runc": run("runc", "--version").split()[2]}

    def set_up(self) -> None:
        d = self._directory
        (d / "cni").mkdir()
        (d / "cni" / "10-bench.conflist").write_text(json.dumps(_NETWORK))
        (d / "config.toml").write_text(_CONFIG.format(d=d, pause=_PAUSE))
        with (d / "containerd.log").open("wb") as log:
            self._daemon = subprocess.Popen(
                ["containerd", "--config", str(d / "config.toml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        ctr = ("ctr", "--address", f"{d}/containerd.sock", "--namespace", "k8s.io")
        until(lambda: (d / "containerd.sock").exists() and self._ready(), "containerd did not become ready")
        pause = d / "pause.tar"
        pause_image.write(pause, _PAUSE)
        for archive in (IMAGES / "nginx.tar", IMAGES / "busybox.tar", pause):
            run(*ctr, "images", "import", str(archive))

    def _ready(self) -> bool:
        assert self._daemon is not None
        if self._daemon.poll() is not None:
            raise RuntimeError(f"containerd ended: {(self._directory / 'containerd.log').read_text()[-600:]}")
        return self.cri.ready()

    def _sandbox(self, number: int) -> v1.PodSandboxConfig:
        logs = self._directory / "logs" / str(number)
        logs.mkdir(parents=True, exist_ok=True)
        config = v1.PodSandboxConfig(hostname=f"bench-{number}", log_directory=str(logs))
        config.metadata.CopyFrom(v1.PodSandboxMetadata(name=f"bench-{number}", uid=f"uid-{number}", namespace="default"))
        config.linux.cgroup_parent = f"/polong-bench-containerd/{number}"
        config.linux.security_context.namespace_options.pid = v1.POD
        config.linux.security_context.seccomp.profile_type = v1.SecurityProfile.RuntimeDefault
        return config

    @staticmethod
    def _containers() -> list[v1.ContainerConfig]:
        nginx = v1.ContainerConfig(metadata=v1.ContainerMetadata(name="nginx"), image=v1.ImageSpec(image=NGINX), log_path="nginx.log")
        shell = v1.ContainerConfig(metadata=v1.ContainerMetadata(name="shell"), image=v1.ImageSpec(image=BUSYBOX), log_path="shell.log")
        shell.command.extend(["sleep", "3600"])
        shell.stdin = shell.tty = True
        shell.linux.security_context.capabilities.add_capabilities.append("SYS_PTRACE")
        for config in (nginx, shell):
            config.linux.security_context.namespace_options.pid = v1.POD
            config.linux.security_context.seccomp.profile_type = v1.SecurityProfile.RuntimeDefault
            config.linux.resources.cpu_shares = 2
        return [nginx, shell]

    def start(self, number: int) -> float:
        config = self._sandbox(number)
        containers = self._containers()
        return timed(lambda: self._run_pod(number, config, containers))

    def _run_pod(self, number: int, config: v1.PodSandboxConfig, containers: list[v1.ContainerConfig]) -> None:
        sandbox = self.cri.call("RunPodSandbox", v1.RunPodSandboxRequest(config=config)).pod_sandbox_id
        started: list[str] = []
        self._pods[number] = (sandbox, started)
        for container in containers:
            request = v1.CreateContainerRequest(pod_sandbox_id=sandbox, config=container, sandbox_config=config)
            identifier = self.cri.call("CreateContainer", request).container_id
            started.append(identifier)
            self.cri.call("StartContainer", v1.StartContainerRequest(container_id=identifier))

    def remove(self, number: int) -> float:
        return timed(lambda: self.cri.wait(self._remove_pod(*self._pods.pop(number), GRACE)))

    async def _remove_pod(self, sandbox: str, containers: list[str], grace: int) -> None:
        stops = (self.cri.send("StopContainer", v1.StopContainerRequest(container_id=each, timeout=grace)) for each in containers)
        await asyncio.gather(*stops)
        await self.cri.send("StopPodSandbox", v1.StopPodSandboxRequest(pod_sandbox_id=sandbox))
        for each in containers:
            await self.cri.send("RemoveContainer", v1.RemoveContainerRequest(container_id=each))
        await self.cri.send("RemovePodSandbox", v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))

    def kill(self, number: int) -> float:
        return timed(lambda: self.cri.wait(self._remove_pod(*self._pods.pop(number), 0)))

    def execute(self, number: int) -> float:
        shell = self._pods[number][1][1]
        return timed(lambda: self._execute(shell))

    def _execute(self, container: str) -> None:
        answer = self.cri.call("ExecSync", v1.ExecSyncRequest(container_id=container, cmd=["true"], timeout=10))
        if answer.exit_code != 0:
            raise RuntimeError(f"exec of true ended with {answer.exit_code}")

    def start_all(self, numbers: Sequence[int]) -> float:
        return timed(lambda: [self.start(number) for number in numbers])

    def kill_all(self, numbers: Sequence[int]) -> float:
        return timed(lambda: [self.kill(number) for number in numbers])

    def daemon_pids(self) -> Sequence[int]:
        return () if self._daemon is None else (self._daemon.pid,)

    def close(self) -> None:
        try:
            for sandbox, containers in self._pods.values():
                self.cri.wait(self._remove_pod(sandbox, containers, 0))
        finally:
            self.cri.close()
            if self._daemon is not None and self._daemon.poll() is None:
                os.kill(self._daemon.pid, signal.SIGTERM)
                self._daemon.wait(10)
