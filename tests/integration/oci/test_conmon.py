"""The supervisor: logs, exit files, attach with and without terminal, resize, stdin, rotation, errors; with crun and runc."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from polong.kit.errors import FailedPrecondition, NotFound
from polong.kit.stdio import Pipe, Stdio, TerminalSize
from polong.kit.tasks import Tasks
from polong.linux import proc
from polong.oci import attach, bundle, logs

pytestmark = pytest.mark.root


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)


async def until_text(stream: Pipe, text: bytes) -> bytes:
    data = b""
    while text not in data:
        chunk = await asyncio.wait_for(stream.read(), 10)
        assert chunk, data
        data += chunk
    return data


def records(path: Path) -> list[logs.Record]:
    return list(logs.join(logs.parse(path.read_bytes())))


async def test_log_and_exit_code(node):
    container, _ = await node.container("/bin/sh", "-c", "echo one; echo two >&2; printf three; exit 9")
    await until(lambda: node.conmon.exit_code(container) is not None)
    assert node.conmon.exit_code(container) == 9
    found = records(node.log(container))
    assert sorted((record.stream, record.content) for record in found) == [("stderr", b"two"), ("stdout", b"one"), ("stdout", b"three")]


async def test_a_container_cannot_fake_a_record(node):
    fake = "2020-01-01T00:00:00.000000000Z stderr F fake"
    container, _ = await node.container("/bin/sh", "-c", f"echo '{fake}'; printf 'a\\r{fake}\\n'")
    await until(lambda: node.conmon.exit_code(container) is not None)
    assert [(record.stream, record.content) for record in records(node.log(container))] == [
        ("stdout", fake.encode()),
        ("stdout", b"a\r" + fake.encode()),
    ]


async def test_a_long_line_is_joined(node):
    container, _ = await node.container("/bin/sh", "-c", "i=0; while [ $i -lt 5000 ]; do printf 0123456789; i=$((i+1)); done; echo")
    await until(lambda: node.conmon.exit_code(container) is not None)
    assert b" P " in node.log(container).read_bytes()
    assert [record.content for record in records(node.log(container))] == [b"0123456789" * 5000]


async def test_attach_without_terminal_and_stdin_once(node):
    container, _ = await node.container(
        "/bin/sh", "-c", "while read line; do echo got $line; echo err >&2; done; echo end", stdin=True, stdin_once=True
    )
    stdin, stdout, stderr = Pipe(), Pipe(), Pipe()
    tasks = Tasks("test")
    session = tasks.start(node.conmon.attach(container, Stdio(stdin, stdout, stderr)), "attach")
    await stdin.write(b"hello\n")
    assert await until_text(stdout, b"got hello\n") == b"got hello\n"
    assert await until_text(stderr, b"err\n") == b"err\n"
    await stdin.close()
    assert await until_text(stdout, b"end\n") == b"end\n"
    await asyncio.wait_for(session, 10)
    assert await stdout.read() == b""
    await until(lambda: node.conmon.exit_code(container) == 0)
    await tasks.aclose()


async def test_stdin_stays_open_for_the_next_client(node):
    container, main = await node.container("/bin/sh", "-c", "while read line; do echo got $line; done", stdin=True)
    for word in (b"first", b"second"):
        stdin, stdout = Pipe(), Pipe()
        tasks = Tasks("test")
        tasks.start(node.conmon.attach(container, Stdio(stdin, stdout)), "attach")
        await stdin.write(word + b"\n")
        await until_text(stdout, b"got " + word + b"\n")
        await stdin.close()
        await tasks.aclose()
    assert proc.alive(main)


async def test_attach_with_a_terminal_resizes(node):
    container, _ = await node.container("/bin/sh", "-i", terminal=True, stdin=True)
    stdin, stdout = Pipe(), Pipe()
    sizes: asyncio.Queue[TerminalSize] = asyncio.Queue()

    async def resizes() -> AsyncIterator[TerminalSize]:
        while True:
            yield await sizes.get()

    tasks = Tasks("test")
    session = tasks.start(node.conmon.attach(container, Stdio(stdin, stdout, None, resizes(), tty=True)), "attach")
    await stdin.write(b"\n")
    await until_text(stdout, b"#")
    await sizes.put(TerminalSize(width=101, height=33))
    seen = b""
    deadline = time.monotonic() + 10
    while b"33 101\r\n" not in seen:
        assert time.monotonic() < deadline, seen
        await stdin.write(b"stty size\n")
        seen += await asyncio.wait_for(stdout.read(), 10)
    await stdin.write(b"exit 4\n")
    await asyncio.wait_for(session, 10)
    await until(lambda: node.conmon.exit_code(container) == 4)
    await tasks.aclose()
    await node.conmon.resize(container, TerminalSize(1, 1))


async def test_an_attached_client_that_goes_harms_nothing(node):
    container, main = await node.container("/bin/sh", "-c", "while :; do echo tick; /bin/sleep 0.02; done")
    for _ in range(5):
        stdout = Pipe()
        tasks = Tasks("test")
        tasks.start(node.conmon.attach(container, Stdio(None, stdout)), "attach")
        await until_text(stdout, b"tick\n")
        await stdout.abandon()
        await tasks.aclose()
    assert proc.alive(main)


async def test_log_is_reopened_after_rotation(node):
    container, _ = await node.container("/bin/sh", "-c", "while :; do echo tick; /bin/sleep 0.02; done")
    log = node.log(container)
    await until(lambda: log.stat().st_size > 0)
    log.rename(log.with_suffix(".0"))
    await node.conmon.reopen_log(container)
    await until(lambda: log.exists() and log.stat().st_size > 0)
    assert records(log)[0].content == b"tick"


async def test_create_errors_are_the_runtimes_words_in_one_line(node):
    container, cgroup, directory = node.new()
    config = node.config("/bin/true", cgroup=cgroup)
    config["root"]["path"] = "/nonexistent-root"
    bundle.write(directory, config)
    with pytest.raises(FailedPrecondition, match="nonexistent-root") as caught:
        await node.conmon.create(container, directory, log_path=node.log(container), terminal=False, stdin=False, stdin_once=False)
    assert caught.value.reason == "RunContainerError"
    assert "\n" not in caught.value.message
    assert await node.runtime.state(container) is None
    assert not node.groups.exists(cgroup)
    assert node.conmon.exit_code(container) is None


async def test_attach_to_what_is_not_there(node):
    with pytest.raises(NotFound):
        await node.conmon.attach("0" * 64, Stdio(None, Pipe()))
    container, _ = await node.container("/bin/true")
    await until(lambda: node.conmon.exit_code(container) == 0)

    async def refused() -> bool:
        try:
            await asyncio.wait_for(node.conmon.attach(container, Stdio(None, Pipe())), 5)
        except FailedPrecondition:
            return True
        return False

    deadline = time.monotonic() + 10
    while not await refused():
        assert time.monotonic() < deadline


async def test_a_long_bundle_path_is_no_matter(node):
    container, cgroup, _ = node.new()
    directory = node.directory / ("d" * 100) / ("e" * 60)
    bundle.write(directory, node.config("/bin/sh", "-c", "read line; echo got $line", cgroup=cgroup))
    await node.conmon.create(container, directory, log_path=node.log(container), terminal=False, stdin=True, stdin_once=True)
    await node.runtime.start(container)
    stdin, stdout = Pipe(), Pipe()
    tasks = Tasks("test")
    tasks.start(node.conmon.attach(container, Stdio(stdin, stdout)), "attach")
    await stdin.write(b"x\n")
    assert await until_text(stdout, b"got x\n")
    await until(lambda: node.conmon.exit_code(container) == 0)
    await tasks.aclose()


async def test_a_damaged_exit_file_is_no_exit_code(node, tmp_path):
    name = "f" * 64
    for content in (b"", b"\0\0", b"-1", b"300", b"0 ", b"1\n", b"x" * 100):
        (node.conmon.exit_dir / name).write_bytes(content)
        assert node.conmon.exit_code(name) == {b"0 ": 0, b"1\n": 1}.get(content)
    (node.conmon.exit_dir / name).unlink()
    (tmp_path / "target").write_text("7")
    (node.conmon.exit_dir / name).symlink_to(tmp_path / "target")
    assert node.conmon.exit_code(name) is None
    node.conmon.forget(name)
    node.conmon.forget(name)


async def test_sizes_that_make_no_sense_harm_nothing(node):
    container, main = await node.container("/bin/sh", "-i", terminal=True, stdin=True)
    stdin, stdout = Pipe(), Pipe()
    tasks = Tasks("test")
    tasks.start(node.conmon.attach(container, Stdio(stdin, stdout, None, None, tty=True)), "attach")
    await stdin.write(b"\n")
    await until_text(stdout, b"#")
    for width, height in ((-1, -1), (0, 0), (2**31, 2**31), (2**64, 1), (65536, 65537), (100, 40)):
        await node.conmon.resize(container, TerminalSize(width=width, height=height))
    seen = b""
    async with asyncio.timeout(10):
        while b"40 100\r\n" not in seen:
            await stdin.write(b"stty size\n")
            seen += await stdout.read()
            await asyncio.sleep(0.05)
    await tasks.aclose()
    assert proc.alive(main)


async def test_an_attached_client_that_never_reads_holds_nobody_up(node, monkeypatch):
    """conmon writes to its clients one after the other: who does not read must neither stop the container nor fill our memory."""
    monkeypatch.setattr(attach, "_PATIENCE", 1.0)
    container, main = await node.container("/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")
    tasks = Tasks("test")
    tasks.start(node.conmon.attach(container, Stdio(None, Pipe())), "attach")

    async def grown() -> bool:
        size = node.log(container).stat().st_size
        async with asyncio.timeout(10):
            while node.log(container).stat().st_size < size + 200_000:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.02)
        return True

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        assert await grown()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    await tasks.aclose()
    assert proc.alive(main)
