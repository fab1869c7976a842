"""What is asked of every engine. One worker drives one engine; each method does one thing and returns the seconds that it took."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

REPO = Path(__file__).resolve().parents[2]
IMAGES = REPO / "build" / "images"
PAGE = REPO / "examples" / "share-process-namespace.yaml"
NGINX = "docker.io/library/nginx:latest"
BUSYBOX = "docker.io/library/busybox:1.28"

# What a Pod of the benchmark is given to end by itself. Kubernetes' default; no engine needs it, because `sleep` obeys SIGTERM.
GRACE = 30


class Engine(Protocol):
    """Pods are named `bench-<number>`; methods raise on failure, and `close` may be called at any moment."""

    def versions(self) -> Mapping[str, str]: ...

    def set_up(self) -> None:
        """Everything up to the first Pod: configuration, daemon, images."""
        ...

    def start(self, number: int) -> float:
        """The page's Pod, from create until both containers run."""
        ...

    def remove(self, number: int) -> float:
        """From the request until nothing of the Pod is left."""
        ...

    def kill(self, number: int) -> float:
        """The same without any grace."""
        ...

    def execute(self, number: int) -> float:
        """`true` in the busybox container, from request to exit code."""
        ...

    def start_all(self, numbers: Sequence[int]) -> float:
        """As `start`, of all of them, as fast as this engine can."""
        ...

    def kill_all(self, numbers: Sequence[int]) -> float: ...

    def daemon_pids(self) -> Sequence[int]: ...

    def close(self) -> None: ...


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def side_by_side(action: Callable[[int], object], numbers: Iterable[int], width: int = 2) -> float:
    """Seconds of all calls together, `width` at a time: two cores have no more to give to an engine whose commands are processes."""

    def go() -> None:
        with ThreadPoolExecutor(width) as pool:
            list(pool.map(action, numbers))

    return timed(go)


def run(*command: str, env: Mapping[str, str] | None = None, timeout: float = 120) -> str:
    """Standard output; RuntimeError with the last lines of both streams where the command fails."""
    done = subprocess.run(command, env=env, timeout=timeout, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).strip()[-800:]
        raise RuntimeError(f"{' '.join(command[:4])} ended with {done.returncode}: {tail}")
    return done.stdout


def until(condition: Callable[[], bool], what: str, timeout: float = 30) -> None:
    """Poll each millisecond."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(0.001)
