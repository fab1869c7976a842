"""A node under test, and the clients that drive it: real kubectl of several versions, and polong's own command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tools.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ARCHIVES = ROOT / "build" / "images"
POLONG = Path(sys.executable).parent / "polong"

VERSIONS = tuple(f"1.{minor}" for minor in range(27, 34))

Json = dict[str, Any]


def kubectl_program(version: str) -> Path | None:
    """The file `kubectl.<version>` beside the real file of the kubectl on PATH."""
    found = shutil.which("kubectl")
    path = Path(found).resolve().parent / f"kubectl.{version}" if found else None
    return path if path and path.exists() else None


def any_kubectl() -> Path | None:
    """The newest of the versions under test, else the one on PATH."""
    versions = [path for version in reversed(VERSIONS) if (path := kubectl_program(version))]
    found = shutil.which("kubectl")
    return versions[0] if versions else Path(found) if found else None


class CommandFailed(AssertionError):  # noqa: N818
    pass


@dataclass(frozen=True)
class Client:
    """A command that takes kubectl's words: kubectl itself or polong."""

    program: Path
    env: dict[str, str]

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 60) -> str:
        """Standard output; CommandFailed with both streams where the exit code is not 0."""
        done = self.try_(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise CommandFailed(f"{self.program.name} {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def try_(self, *arguments: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.program), *arguments], env=self.env, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )

    def json(self, *arguments: str) -> Json:
        found: Json = json.loads(self(*arguments, "-o", "json"))
        return found

    def terminal(self, *arguments: str, size: tuple[int, int] = (120, 40)) -> Terminal:
        return Terminal([str(self.program), *arguments], env=self.env, size=size)

    def apply(self, *documents: Json) -> str:
        return self("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def delete(self, name: str, grace: int = 1) -> None:
        self("delete", "pod", name, "--ignore-not-found", f"--grace-period={grace}")

    def ready(self, name: str, timeout: int = 60) -> None:
        try:
            self("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={timeout}s", timeout=timeout + 30)
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n{self.try_('describe', 'pod', name).stdout}") from None


class Node:
    """A node of its own: state in `root`, a free port, its own Pod network."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "POLONG_ROOT": str(root),
        }
        self.polong = Client(POLONG, self.env)

    def client(self, program: Path) -> Client:
        """kubectl with the node's kubeconfig and a cache of its own."""
        return Client(
            program, self.env | {"KUBECONFIG": str(self.root / "kubeconfig"), "KUBECACHEDIR": f"{self.env['HOME']}/cache-{program.name}"}
        )

    @property
    def log_dir(self) -> Path:
        """Of Pods: `<namespace>_<name>_<uid>/<container>/<n>.log` below it."""
        return self.root / "logs" / "pods"

    def up(self, *more: str) -> None:
        self.polong("up", "--port", "0", *more, timeout=90)

    def import_images(self) -> None:
        for archive in ("nginx.tar", "busybox.tar", "static.tar"):
            self.polong("images", "import", str(ARCHIVES / archive))

    def down(self) -> None:
        self.polong("down", "--grace-period", "1", timeout=120)

    def log(self) -> str:
        path = self.root / "logs" / "node.log"
        return path.read_text(errors="replace")[-8000:] if path.exists() else ""


PATIENCE = float(os.environ.get("POLONG_TEST_PATIENCE", "1"))
"""How much longer than on a machine of its own everything may take: tools.vm emulates one."""


def eventually(check: Callable[[], Any], what: str, timeout: float = 30) -> Any:
    """The first true answer of `check`; fails with the last false one after `timeout` seconds."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s; last answer {answer!r}")
        time.sleep(0.05)


def pod(name: str, *containers: Json, **spec: Any) -> Json:
    """A Pod that never pulls and is gone quickly."""
    ready: Sequence[Json] = [{"imagePullPolicy": "IfNotPresent", **container} for container in containers]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 2, **spec, "containers": ready},
    }


def busybox(name: str, script: str, **fields: Any) -> Json:
    return {"name": name, "image": "busybox:1.28", "command": ["sh", "-c", script], **fields}


def nginx(name: str = "nginx", **fields: Any) -> Json:
    return {"name": name, "image": "nginx", **fields}
