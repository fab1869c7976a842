"""From nothing to ready, and back. Order: lock, certificates, store, images and runtime (recovery), network, API, kubelet.

Signals: SIGTERM and SIGINT stop the engine and leave every Pod running, for the next start to adopt; SIGUSR1 (`polong down`, after it
has deleted the Pods) also clears what only a running node needs: network, cgroups, run directory.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable

from polong.daemon import kubeconfig, pki
from polong.daemon.config import Config
from polong.daemon.lock import Lock
from polong.daemon.wiring import Node
from polong.kit.errors import PolongError
from polong.kit.tasks import Tasks

_log = logging.getLogger(__name__)

_STEP = 8.0


def run(config: Config, ready: Callable[[], None]) -> None:
    """Serve until a signal says otherwise. Whatever fails before `ready` is raised, with nothing left running."""
    lock = Lock(config.lock)
    lock.acquire()
    try:
        credentials = pki.ensure(config.pki_dir, pki.serving_hosts())
        asyncio.run(_serve(config, credentials, ready))
    finally:
        lock.release()


async def _serve(config: Config, credentials: pki.Credentials, ready: Callable[[], None]) -> None:
    stop = _Stop()
    # A first start that fails must not leave a bridge behind; a later one must not take the network from Pods that run.
    clear_on_failure = not config.run_dir.exists()
    node = Node(config, credentials)
    try:
        await stop.first(node.start())
        clear_on_failure = False
        if not stop.asked:
            kubeconfig.write(config.kubeconfig, config.url, credentials)
            _settle()
            ready()
            _log.info("ready at %s, state in %s", config.url, config.root)
            await stop.wait()
    finally:
        empty = clear_on_failure or (stop.clear and await _empty(node))
        await _bounded(node.aclose_front, "API and kubelet")
        await _bounded(node.aclose, "runtime and store")
        if empty:
            await _bounded(node.clear, "network, cgroups and run directory")
        _log.info("stopped")


async def _empty(node: Node) -> bool:
    if await node.drained():
        return True
    _log.error("Pods are left on this node: its network and its cgroups stay")
    return False


def _settle() -> None:
    """What start-up made stays for good: keep the collector from walking over it, and from copying its pages in forks."""
    gc.collect()
    gc.freeze()


async def _bounded(step: Callable[[], Awaitable[None]], what: str) -> None:
    """One step of stopping: it may fail or hang, the next one comes anyway."""
    try:
        async with asyncio.timeout(_STEP):
            await step()
    except TimeoutError:
        _log.error("closing %s took more than %.0f s", what, _STEP)
    except (PolongError, OSError) as error:
        _log.error("closing %s: %s", what, error)


class _Stop:
    """The wish to stop, from signals."""

    def __init__(self) -> None:
        self.clear = False
        self._event = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            loop.add_signal_handler(signum, self._signal, signum)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)

    def _signal(self, signum: signal.Signals) -> None:
        self.clear = self.clear or signum == signal.SIGUSR1
        self._event.set()

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def first(self, starting: Awaitable[None]) -> None:
        """Start, unless a signal comes first."""
        tasks = Tasks("start")
        task = tasks.start(_finish(starting), "start of the node")
        stop = tasks.start(self.wait(), "wish to stop")
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and (error := await task) is not None:
                raise error
        finally:
            await tasks.aclose()


async def _finish(starting: Awaitable[None]) -> Exception | None:
    """What stands in the way is a result, told once by whoever waits for it."""
    try:
        await starting
    except Exception as error:
        return error
    return None
