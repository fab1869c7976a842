"""`polong cri` by itself: the same runtime as a node's, over its socket."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.bench.bigimage import ADDRESS
from tools.bench.crilife import CriLife
from tools.bench.engine import run, until

from polong import __version__


class PolongCri:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._daemon: subprocess.Popen[bytes] | None = None
        self.cri = CriLife(directory / "cri.sock", directory, "/polong/bench-cri")

    def versions(self) -> Mapping[str, str]:
        return {"polong": __version__, "crun": run("crun", "--version").split()[2]}

    def set_up(self) -> None:
        d = self._directory
        (d / "hosts" / ADDRESS).mkdir(parents=True)
        (d / "hosts" / ADDRESS / "hosts.toml").write_text(f'server = "http://{ADDRESS}"\n')
        options = ("--listen", f"unix://{d}/cri.sock", "--root", str(d / "root"), "--registry-config", str(d / "hosts"))
        command = [sys.executable, "-m", "polong", "cri", *options, "--pod-cidr", "10.98.0.0/16"]
        with (d / "cri.log").open("wb") as log:
            self._daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: (d / "cri.sock").exists() and self.cri.ready(), "polong cri did not become ready")

    def close(self) -> None:
        self.cri.close()
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.send_signal(signal.SIGTERM)
            self._daemon.wait(20)
