"""NRI: a plugin on the socket sees the life of real containers in order, and may refuse a step of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Unsupported
from polong.nri import frames
from polong.nri.frames import Decoder, Frame
from polong.nri.messages import message, parse

pytestmark = pytest.mark.root
EVERYTHING = (1 << 14) - 1
NAMES = {1: "run", 2: "stop sandbox", 3: "remove sandbox", 5: "created", 6: "start", 7: "started", 11: "remove"}


class Watcher:
    """A plugin as others write them. `answer` may give an error, or what to answer, to a method."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.seen: list[tuple[str, str]] = []
        self.synchronized: Any = None
        self.answers: dict[str, Any] = {}

    async def run(self) -> None:
        decoder = Decoder()
        asked = message("RegisterPluginRequest", plugin_name="watcher", plugin_idx="10")
        self.send(frames.RUNTIME, 1, frames.REQUEST, message("Request", method="RegisterPlugin", payload=asked.SerializeToString()))
        while data := await self.reader.read(65536):
            for frame in decoder.feed(data):
                if frame.type == frames.REQUEST:
                    call = parse("Request", frame.payload)
                    self.send(frames.PLUGIN, frame.stream, frames.RESPONSE, self.take(call.method, call.payload))

    def send(self, connection: int, number: int, kind: int, body: Any) -> None:
        self.writer.write(frames.encode(Frame(connection, number, kind, body.SerializeToString())))

    def take(self, method: str, payload: bytes) -> Any:
        if method == "Configure":
            return message("Response", payload=message("ConfigureResponse", events=EVERYTHING).SerializeToString())
        if method == "Synchronize":
            self.synchronized = parse("SynchronizeRequest", payload)
        elif method == "StateChange":
            event = parse("StateChangeEvent", payload)
            self.seen.append((NAMES[event.event], event.container.id or event.pod.id))
        else:
            self.seen.append((method, parse("ContainerRequest", payload).container.id))
        return self.answers.get(method, message("Response"))


@pytest.fixture
async def watcher(node: Any) -> AsyncIterator[Watcher]:
    path = node.directory / "nri.sock"
    before = await node.run("before")
    await node.engine.plugins.start(path)
    found = Watcher(*await asyncio.open_unix_connection(path))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(found.run())
        async with asyncio.timeout(10):
            while found.synchronized is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert [each.id for each in found.synchronized.pods] == [before]
        yield found
        await node.engine.plugins.aclose()
        running.cancel()
    found.writer.close()


async def test_a_life_in_order(node: Any, watcher: Watcher) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    await node.stop(container, 0)
    await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    assert watcher.seen == [
        ("run", sandbox),
        ("CreateContainer", container),
        ("created", container),
        ("start", container),
        ("started", container),
        ("StopContainer", container),
        ("stop sandbox", sandbox),
        ("remove", container),
        ("remove sandbox", sandbox),
    ]


async def test_a_plugin_may_refuse_and_may_not_change(node: Any, watcher: Watcher) -> None:
    sandbox = await node.run()
    refusal = message("Response", status=message("RpcStatus", code=2, message="not today"))
    watcher.answers["CreateContainer"] = refusal
    with pytest.raises(FailedPrecondition, match="10-watcher refuses CreateContainer: not today"):
        await node.create(sandbox, "true")
    # An adjustment with one annotation.
    watcher.answers["CreateContainer"] = message("Response", payload=b"\x0a\x08\x12\x06\x0a\x01k\x12\x01v")
    with pytest.raises(Unsupported, match="asks to change a container"):
        await node.create(sandbox, "true")
    assert not node.engine.table.containers
    watcher.answers.clear()
    watcher.answers["StateChange"] = refusal
    with pytest.raises(FailedPrecondition, match="not today"):
        await node.run()
    watcher.answers.clear()
    assert await node.started(sandbox, "sleep", "1000")


async def test_a_plugin_that_leaves_holds_nobody_up(node: Any, watcher: Watcher) -> None:
    watcher.writer.transport.abort()
    async with asyncio.timeout(5):
        assert await node.started(await node.run(), "sleep", "1000")
