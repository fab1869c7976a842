"""The kubelet: starts and owns everything that makes Pods of this node run."""

from __future__ import annotations

from polong.criapi.ports import ImageService, RuntimeService
from polong.kit.clock import Clock, SystemClock
from polong.kubelet.config import KubeletConfig
from polong.kubelet.ports import Api
from polong.kubelet.streams import NodeStreams


class Kubelet:
    """One node's agent. `start` registers the Node and adopts what already runs; `aclose` stops working and leaves every Pod running."""

    def __init__(self, config: KubeletConfig, api: Api, runtime: RuntimeService, images: ImageService, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self.streams = NodeStreams(runtime, config.log_dir, self._clock)

    async def start(self) -> None:
        """Returns when the Node is registered and the Pods of an earlier run are known; raises where that fails."""
        raise NotImplementedError

    async def drain(self, timeout: float) -> bool:
        """Stop every Pod of the node without deleting its object's data twice: delete through the API first; False where some remain."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Stop the agent, not the Pods. Idempotent."""
        raise NotImplementedError
