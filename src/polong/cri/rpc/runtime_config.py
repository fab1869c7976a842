"""RuntimeConfig and UpdateRuntimeConfig."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def runtime_config(_engine: Engine, _request: v1.RuntimeConfigRequest) -> v1.RuntimeConfigResponse:
    """The cgroup driver: paths are made as they are given, systemd is never asked (a kubelet that has `cgroupDriver: systemd` would say
    `a.slice` and mean another place)."""
    return v1.RuntimeConfigResponse(linux=v1.LinuxRuntimeConfiguration(cgroup_driver=v1.CGROUPFS))


async def update_runtime_config(_engine: Engine, _request: v1.UpdateRuntimeConfigRequest) -> v1.UpdateRuntimeConfigResponse:
    """The only thing it can carry is the Pod CIDR that a cluster gave to the node. Like other runtimes that are given their network by
    configuration, this one takes note of nothing: its Pod network is chosen when it starts."""
    return v1.UpdateRuntimeConfigResponse()
