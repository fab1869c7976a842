"""The demo's node: started, or used again where it runs, and given its images."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
POLONG = str(Path(sys.executable).parent / "polong")
ROOT = Path(os.environ.get("POLONG_ROOT", "/var/lib/polong-demo"))
PORT = 6543
IMAGES = {"docker.io/library/nginx:latest": "nginx.tar", "docker.io/library/busybox:1.28": "busybox.tar"}

_REGISTRY = ("registry-1.docker.io", 443)


class Failed(Exception):  # noqa: N818
    pass


def polong(*arguments: str, timeout: float = 120, show: bool = False) -> str:
    """Run the command line on the demo's node; its output. Failed, with the command's own words, where it fails."""
    environment = os.environ | {"POLONG_ROOT": str(ROOT)}
    environment.pop("KUBECONFIG", None)
    try:
        done = subprocess.run(
            [POLONG, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if show else subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"polong {' '.join(arguments)}: no end after {timeout:.0f} s") from None
    if done.returncode != 0:
        raise Failed(f"polong {' '.join(arguments)} ended with {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def running() -> bool:
    try:
        polong("get", "nodes", timeout=20)
    except Failed:
        return False
    return True


def up() -> str:
    """Start the node if it does not run; what was done, in words."""
    if ROOT.exists() and running():
        return f"the node in {ROOT} runs already"
    return polong("up", "--port", str(_free_port())).strip() or f"the node in {ROOT} runs"


def _free_port() -> int:
    """PORT, or the next one that nobody listens on."""
    for port in range(PORT, PORT + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed(f"no free port between {PORT} and {PORT + 99}")


def provide_images() -> str:
    """Pull the images where their registry answers, else build them from Debian packages; which it was, in words."""
    if _registry_answers():
        try:
            for name in IMAGES:
                polong("images", "pull", name, timeout=90, show=True)
        except Failed as error:
            return f"{_build()} (a pull failed: {error})"
        return "pulled nginx and busybox:1.28 from their registry"
    return f"{_build()} (their registry does not answer from here)"


def _registry_answers() -> bool:
    try:
        with socket.create_connection(_REGISTRY, timeout=3):
            return True
    except OSError:
        return False


def _build() -> str:
    build(["--quiet"])
    for archive in IMAGES.values():
        polong("images", "import", str(REPO / "build" / "images" / archive))
    return "built nginx and busybox:1.28 from Debian packages"


def build(arguments: Sequence[str]) -> None:
    if subprocess.run([sys.executable, "-m", "tools.images", *arguments], cwd=REPO, check=False).returncode != 0:
        raise Failed("cannot build the images; the lines above say why")
