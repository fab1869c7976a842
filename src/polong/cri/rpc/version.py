"""Version."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def version(engine: Engine, _request: v1.VersionRequest) -> v1.VersionResponse:
    """`version` is that of the kubelet's runtime API, as all runtimes answer."""
    return v1.VersionResponse(version="0.1.0", runtime_name="polong", runtime_version=engine.settings.version, runtime_api_version="v1")
