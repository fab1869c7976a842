"""A node as the command line sees it: the files in its root that say whether it runs, where, and how to reach it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from polong.cli.errors import Failure

if TYPE_CHECKING:
    import signal

DEFAULT_ROOT = "/var/lib/polong"
DEFAULT_PORT = 6443


class Settings(NamedTuple):
    """What `up` was told and remembers for the next start."""

    port: int = DEFAULT_PORT
    runtime: str = "crun"
    pod_cidr: str = ""
    config: str = ""


class NodeDir:
    """The state directory of one node. Reading it needs no server and changes nothing."""

    def __init__(self, root: str | None) -> None:
        self.root = Path(root or os.environ.get("POLONG_ROOT") or DEFAULT_ROOT)
        self.lock = self.root / "lock"
        self.kubeconfig = self.root / "kubeconfig"
        self.settings_file = self.root / "node.json"
        self.log = self.root / "logs" / "node.log"

    @property
    def node_id(self) -> str:
        import hashlib

        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:8]

    @property
    def run_dir(self) -> Path:
        return Path("/run/polong") / self.node_id

    def pid(self) -> int | None:
        """The running engine's, None where there is none: whoever holds the lock is alive, whatever the file says."""
        try:
            with self.lock.open("rb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(stream.read(32) or b"0")
        except PermissionError:
            raise Failure(f"cannot read {self.root}: it belongs to root; run this as root, or give --kubeconfig") from None
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None

    def settings(self) -> Settings:
        try:
            found = json.loads(self.settings_file.read_bytes())
            return Settings(int(found["port"]), str(found["runtime"]), str(found["pod_cidr"]), str(found.get("config", "")))
        except (OSError, ValueError, KeyError, TypeError):
            return Settings()

    def remember(self, settings: Settings) -> None:
        temporary = self.settings_file.with_suffix(".new")
        temporary.write_text(json.dumps(settings._asdict()) + "\n")
        temporary.rename(self.settings_file)

    def describe(self) -> str:
        """` --root DIR` where it is not the default, for hints."""
        return "" if str(self.root) in {DEFAULT_ROOT, os.environ.get("POLONG_ROOT")} else f" --root {self.root}"


def stop(pid: int, signum: signal.Signals, timeout: float) -> bool:
    """Send a signal through a pidfd and wait for the end; False where it still runs after `timeout` seconds."""
    import select
    import signal
    import time

    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signum)
        deadline = time.monotonic() + timeout
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))
    finally:
        os.close(descriptor)


def require_root() -> None:
    if os.geteuid() != 0:
        raise Failure(
            "this needs root: it makes namespaces, mounts and cgroups; run it as root or with sudo (kubectl needs only the kubeconfig)"
        )
