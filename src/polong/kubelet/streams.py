"""`api.ports.Node` for the Pods of this node: exec, attach, port-forward, logs, processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from polong.criapi.ports import RuntimeService
from polong.kit.clock import Clock
from polong.kit.stdio import Stdio
from polong.objects.podlogs import PodLogOptions

Json = dict[str, Any]


class NodeStreams:
    def __init__(self, runtime: RuntimeService, log_dir: Path, clock: Clock) -> None:
        self._runtime = runtime
        self._log_dir = log_dir
        self._clock = clock

    async def exec(self, pod: Json, container: str, command: Sequence[str], stdio: Stdio) -> int:
        """The exit code. NotFound where the container does not run."""
        raise NotImplementedError

    async def attach(self, pod: Json, container: str, stdio: Stdio) -> None:
        raise NotImplementedError

    async def port_forward(self, pod: Json, port: int, stdio: Stdio) -> None:
        raise NotImplementedError

    def logs(self, pod: Json, container: str, options: PodLogOptions) -> AsyncIterator[bytes]:
        raise NotImplementedError

    async def processes(self, pod: Json) -> Json:
        raise NotImplementedError
