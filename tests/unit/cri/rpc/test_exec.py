from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import Invalid
from polong.kit.stdio import Pipe, Stdio, TerminalSize


def request(container: str, **fields: Any) -> v1.ExecRequest:
    return v1.ExecRequest(container_id=container, cmd=["sh"], **fields)


async def started(node: Any) -> Any:
    await node.until(lambda: node.world.execs)
    return node.world.execs[0]


async def test_streams_and_code(node: Any) -> None:
    container = await node.started(await node.run())
    stdin, stdout, stderr = Pipe(), Pipe(), Pipe()
    call = asyncio.get_running_loop().create_task(
        node.service.exec(request(container, stdin=True, stdout=True, stderr=True), Stdio(stdin, stdout, stderr))
    )
    process = await started(node)
    await stdin.write(b"hello")
    assert await process.input.read() == b"hello"
    await stdin.close()
    assert await process.input.read() == b""
    await process.err.write(b"oops")
    await process.finish(7, b"bye")
    assert await call == 7
    assert (await stdout.read(), await stderr.read(), await stdout.read()) == (b"bye", b"oops", b"")
    assert process.closed


async def test_a_terminal_is_resized(node: Any) -> None:
    container = await node.started(await node.run())

    async def sizes() -> AsyncIterator[TerminalSize]:
        yield TerminalSize(80, 25)
        yield TerminalSize(100, 30)

    stdio = Stdio(stdout=Pipe(), resize=sizes())
    call = asyncio.get_running_loop().create_task(node.service.exec(request(container, stdout=True, tty=True), stdio))
    process = await started(node)
    await node.until(lambda: process.sizes[-1:] == [TerminalSize(100, 30)])
    await process.finish(0)
    assert await call == 0
    assert process.document["terminal"] is True


async def test_the_first_size_is_there_from_the_start(node: Any) -> None:
    container = await node.started(await node.run())

    async def sizes() -> AsyncIterator[TerminalSize]:
        await asyncio.sleep(0.01)
        yield TerminalSize(80, 25)

    stdio = Stdio(stdout=Pipe(), resize=sizes())
    call = asyncio.get_running_loop().create_task(node.service.exec(request(container, stdout=True, tty=True), stdio))
    process = await started(node)
    assert process.document["consoleSize"] == {"width": 80, "height": 25}
    await process.finish(0)
    assert await call == 0


async def test_a_client_without_size_does_not_hold_the_start_up_and_may_tell_it_later(node: Any) -> None:
    container = await node.started(await node.run())
    told = asyncio.Event()

    async def sizes() -> AsyncIterator[TerminalSize]:
        await told.wait()
        yield TerminalSize(70000, -1)
        yield TerminalSize(90, 20)

    stdio = Stdio(stdout=Pipe(), resize=sizes())
    call = asyncio.get_running_loop().create_task(node.service.exec(request(container, stdout=True, tty=True), stdio))
    process = await started(node)
    assert "consoleSize" not in process.document
    told.set()
    await node.until(lambda: len(process.sizes) == 2)
    await process.finish(0)
    assert await call == 0


async def test_a_client_that_leaves_takes_its_process_along(node: Any) -> None:
    container = await node.started(await node.run())
    stdin = Pipe()
    call = asyncio.get_running_loop().create_task(node.service.exec(request(container, stdin=True, stdout=True), Stdio(stdin, Pipe())))
    process = await started(node)
    await asyncio.sleep(0)
    call.cancel()
    assert await process.input.read() == b""
    process.kill()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert process.closed


async def test_requests_that_make_no_sense(node: Any) -> None:
    container = await node.started(await node.run())
    with pytest.raises(Invalid, match="tty and stderr"):
        await node.service.exec(request(container, tty=True, stderr=True), Stdio())
    with pytest.raises(Invalid, match="one of stdin"):
        await node.service.exec(request(container), Stdio())
