from __future__ import annotations

from typing import Any

from polong.criapi.wire import v1


async def test_filters(node: Any) -> None:
    sandbox = await node.run()
    one, two = await node.started(sandbox, "one"), await node.create(sandbox, "two")

    async def ids(**wanted: Any) -> set[str]:
        request = v1.ListContainersRequest(filter=v1.ContainerFilter(**wanted))
        return {each.id for each in (await node.service.list_containers(request)).containers}

    assert await ids() == {one, two}
    assert await ids(id=one[:12]) == {one}
    assert await ids(state=v1.ContainerStateValue(state=v1.CONTAINER_RUNNING)) == {one}
    assert await ids(state=v1.ContainerStateValue(state=v1.CONTAINER_CREATED)) == {two}
    assert await ids(pod_sandbox_id="nothing") == set()
    assert await ids(label_selector={"c": "two"}) == {two}


async def test_sandboxes(node: Any) -> None:
    one, two = await node.run("one"), await node.run("two")
    await node.service.stop_pod_sandbox(v1.StopPodSandboxRequest(pod_sandbox_id=two))

    async def ids(**wanted: Any) -> set[str]:
        request = v1.ListPodSandboxRequest(filter=v1.PodSandboxFilter(**wanted))
        return {each.id for each in (await node.service.list_pod_sandbox(request)).items}

    assert await ids() == {one, two}
    assert await ids(state=v1.PodSandboxStateValue(state=v1.SANDBOX_READY)) == {one}
    assert await ids(label_selector={"app": "two"}) == {two}
    assert await ids(id=one) == {one}
