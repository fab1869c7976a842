"""From nothing to ready, and back. Order: lock, certificates, store, images and runtime (recovery), network, API, kubelet.

Signals: SIGTERM and SIGINT stop the engine and leave every Pod running, for the next start to adopt; SIGUSR1 (`polong down`, after it
has deleted the Pods) also clears what only a running node needs: network, cgroups, run directory; SIGPWR (the machine goes down, `polong
down --shutdown`) ends the Pods first, by priority, and keeps their objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from polong.daemon import kubeconfig, pki
from polong.daemon.config import Config
from polong.daemon.lock import Lock
from polong.daemon.stopping import Stop, bounded
from polong.daemon.wiring import Node
from polong.kit import garbage

_log = logging.getLogger(__name__)


def run(config: Config, ready: Callable[[], None]) -> None:
    """Serve until a signal says otherwise. Whatever fails before `ready` is raised, with nothing left running."""
    lock = Lock(config.lock)
    lock.acquire()
    try:
        credentials = pki.ensure(config.pki_dir, pki.serving_hosts(config.gateway))
        asyncio.run(_serve(config, credentials, ready))
    finally:
        lock.release()


async def _serve(config: Config, credentials: pki.Credentials, ready: Callable[[], None]) -> None:
    stop = Stop()
    # A first start that fails must not leave a bridge behind; a later one must not take the network from Pods that run.
    clear_on_failure = not config.run_dir.exists()
    node = Node(config, credentials)
    try:
        await stop.first(node.start())
        clear_on_failure = False
        if not stop.asked:
            kubeconfig.write(config.kubeconfig, config.url, credentials)
            garbage.settle()
            ready()
            _log.info("ready at %s, state in %s", config.url, config.root)
            await stop.wait()
            if stop.down:
                await node.shutdown()
    finally:
        empty = clear_on_failure or (stop.clear and await _empty(node))
        await bounded(node.aclose_front, "API and kubelet")
        await bounded(node.aclose, "runtime and store")
        if empty:
            await bounded(node.clear, "network, cgroups and run directory")
        _log.info("stopped")


async def _empty(node: Node) -> bool:
    if await node.drained():
        return True
    _log.error("Pods are left on this node: its network and its cgroups stay")
    return False
