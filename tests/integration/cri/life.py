"""A Pod's whole life, in a process that is killed at its n-th step. Lines in: n and a sandbox's name; lines out: what became of it.

A step is the beginning or the end of a call of what lies under the service: runtime, supervisor, network, images, records. So both
"noted, not done" and "done, not noted" come up.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

_STEPS = {
    "runtime": ("create", "run", "start", "kill", "delete", "update", "exec"),
    "supervisor": ("create", "forget"),
    "network": ("create_namespace", "attach", "detach", "delete_namespace"),
    "images": ("mount_rootfs", "mount_volume", "release_rootfs"),
    "kernel": ("make_user_namespace", "mount_mapped"),
    "records": ("save", "delete"),
}


async def live(conftest: Any, directory: Path, steps: Any, name: str) -> int:
    v1 = conftest.v1
    node = conftest.Node(directory)
    await node.start()
    engine = node.engine
    for owner, names in (
        (node.handler.runtime, _STEPS["runtime"]),
        (node.handler.supervisor, _STEPS["supervisor"]),
        (node.network, _STEPS["network"]),
        (node.images, _STEPS["images"]),
        (engine.kernel, _STEPS["kernel"]),
        (engine.sandbox_records, _STEPS["records"]),
        (engine.container_records, _STEPS["records"]),
    ):
        steps.watch(owner, names)
    sandbox, mounts = await begun(conftest, node, name)
    one, _ = await node.started(sandbox, "sleep", "1000", mounts=mounts), await node.started(sandbox, "sleep", "1000")
    limits = v1.LinuxContainerResources(memory_limit_in_bytes=64 << 20)
    await node.service.update_container_resources(v1.UpdateContainerResourcesRequest(container_id=one, linux=limits))
    await node.output(one, "true")
    await node.stop(one, 5)
    await node.service.remove_container(v1.RemoveContainerRequest(container_id=one))
    await node.service.stop_pod_sandbox(v1.StopPodSandboxRequest(pod_sandbox_id=sandbox))
    await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    await node.service.aclose()
    await node.images.aclose()
    return steps.count


async def begun(conftest: Any, node: Any, name: str) -> tuple[str, list[Any]]:
    """A sandbox, and the mounts of its first container. One of that name has users of its own, and volumes that the runtime makes."""
    v1 = conftest.v1
    if name != "crash-users":
        return await node.run(name, network=v1.POD), []
    own = [v1.IDMapping(host_id=400_000, container_id=0, length=65_536)]
    config = v1.LinuxPodSandboxConfig()
    config.security_context.namespace_options.userns_options.CopyFrom(v1.UserNamespace(mode=v1.POD, uids=own, gids=own))
    volume = Path.cwd() / "volume"
    volume.mkdir(exist_ok=True)
    mounts = [
        v1.Mount(container_path="/image", readonly=True, image=v1.ImageSpec(image=conftest.IMAGE)),
        v1.Mount(container_path="/mapped", host_path=str(volume), uidMappings=own, gidMappings=own),
    ]
    return await node.run(name, network=v1.POD, linux=config), mounts


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from tests.fixtures import steps

    spec = importlib.util.spec_from_file_location("conftest_cri", sys.argv[1])
    conftest = importlib.util.module_from_spec(spec)
    sys.modules["conftest_cri"] = conftest
    spec.loader.exec_module(conftest)
    steps.serve(lambda fatal, name: asyncio.run(live(conftest, Path.cwd(), steps.Steps(fatal), name)))


main()
