"""The runtime alone, served to others over gRPC: `polong cri`. SIGTERM and SIGINT stop it and leave every container running, for the
next start to adopt; where no sandbox is left, network, cgroups and run directory go too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from polong.cri.grpcserver import GrpcServer
from polong.cri.streamserver import StreamServer
from polong.daemon.config import RuntimeConfig
from polong.daemon.lock import Lock
from polong.daemon.runtime import RuntimeParts
from polong.daemon.stopping import Stop, bounded

_log = logging.getLogger(__name__)


def run(config: RuntimeConfig, listen: Path, ready: Callable[[], None]) -> None:
    """Serve at the socket `listen` until a signal says otherwise. Whatever fails before `ready` is raised, with nothing left running."""
    lock = Lock(config.lock)
    lock.acquire()
    try:
        asyncio.run(_serve(config, listen, ready))
    finally:
        lock.release()


async def _serve(config: RuntimeConfig, listen: Path, ready: Callable[[], None]) -> None:
    stop = Stop()
    parts = RuntimeParts(config)
    streams = StreamServer(parts.cri)
    server = GrpcServer(parts.cri, streams)

    async def start() -> None:
        await parts.start()
        await streams.start()
        await server.start(listen)

    try:
        await stop.first(start())
        if not stop.asked:
            ready()
            _log.info("serving CRI v1 at unix://%s, state in %s", listen, config.root)
            await stop.wait()
    finally:
        await bounded(server.aclose, "gRPC")
        await bounded(streams.aclose, "streams")
        empty = not parts.cri.sandboxes
        await bounded(parts.aclose, "runtime")
        if empty:
            await bounded(parts.clear, "network, cgroups and run directory")
        _log.info("stopped")
