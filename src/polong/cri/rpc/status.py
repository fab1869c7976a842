"""Status: the two conditions that a node's readiness hangs on, each with a reason when it does not hold."""

from __future__ import annotations

import json

from polong.cri.engine import Engine
from polong.criapi.wire import v1
from polong.kit.errors import PolongError

RUNTIME_READY = "RuntimeReady"
NETWORK_READY = "NetworkReady"


async def status(engine: Engine, request: v1.StatusRequest) -> v1.StatusResponse:
    response = v1.StatusResponse(
        runtime_handlers=[v1.RuntimeHandler(name=name, features=_features(engine, name)) for name in engine.handlers],
        features=v1.RuntimeFeatures(supplemental_groups_policy=True),
    )
    info: dict[str, str] = {}
    response.status.conditions.append(await _runtime(engine, info))
    response.status.conditions.append(await _network(engine))
    if request.verbose:
        info |= dict(engine.kernel.environment())
        response.info["config"] = json.dumps(info)
    return response


def _features(engine: Engine, handler: str) -> v1.RuntimeHandlerFeatures:
    """crun and runc of all versions that this runtime accepts lock the mounts below a mount."""
    known = handler in engine.runs_host_processes
    return v1.RuntimeHandlerFeatures(recursive_read_only_mounts=known, user_namespaces=known)


async def _runtime(engine: Engine, info: dict[str, str]) -> v1.RuntimeCondition:
    try:
        name, number = await engine.handler("").runtime.version()
    except (PolongError, OSError) as error:
        return v1.RuntimeCondition(type=RUNTIME_READY, status=False, reason="OCIRuntimeNotReady", message=str(error))
    info |= {"ociRuntime": name, "ociRuntimeVersion": number}
    return v1.RuntimeCondition(type=RUNTIME_READY, status=True)


async def _network(engine: Engine) -> v1.RuntimeCondition:
    missing = await engine.network.ready()
    if missing:
        return v1.RuntimeCondition(type=NETWORK_READY, status=False, reason="NetworkPluginNotReady", message=missing)
    return v1.RuntimeCondition(type=NETWORK_READY, status=True)
