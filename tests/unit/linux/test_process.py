"""Spawning: output, deadlines, groups, descriptors, environment."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from polong.kit.errors import DeadlineExceeded, FailedPrecondition
from polong.linux import fds, process


async def test_run_returns_code_and_both_outputs():
    result = await process.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], timeout=5)
    assert (result.code, result.stdout, result.stderr, result.line()) == (3, b"out\n", b"err\n", "err")


async def test_run_feeds_stdin():
    data = b"x" * 300_000
    assert (await process.run(["/bin/cat"], timeout=5, stdin=data)).stdout == data


async def test_death_by_signal_is_128_plus_n():
    assert (await process.run(["/bin/sh", "-c", "kill -TERM $$"], timeout=5)).code == 143


async def test_output_is_bounded_but_drained():
    result = await process.run(["/usr/bin/head", "-c", "3000000", "/dev/zero"], timeout=5, limit=1000)
    assert (result.code, len(result.stdout)) == (0, 1000)


async def test_timeout_kills_the_whole_group(tmp_path: Path):
    pidfile = tmp_path / "pid"
    with pytest.raises(DeadlineExceeded, match=r"sh did not end within 0\.3 s"):
        await process.run(["/bin/sh", "-c", f"sleep 100 & echo $! > {pidfile}; wait"], timeout=0.3)
    assert await _gone(int(pidfile.read_text()))


async def test_cancellation_kills_the_whole_group(tmp_path: Path):
    pidfile = tmp_path / "pid"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await process.run(["/bin/sh", "-c", f"sleep 100 & echo $! > {pidfile}; wait"], timeout=50)
    assert await _gone(int(pidfile.read_text()))


async def test_a_left_over_child_neither_holds_the_call_nor_lives_on():
    begin = time.monotonic()
    result = await process.run(["/bin/sh", "-c", "sleep 100 & echo $!"], timeout=20)
    assert time.monotonic() - begin < 5
    assert await _gone(int(result.stdout))


async def test_only_named_descriptors_and_a_clean_environment_are_inherited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "1")
    reader, writer = fds.pipe()
    passed, leaked = reader.fileno(), os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        result = await process.run(
            ["/bin/sh", "-c", "ls /proc/$$/fd; env"], timeout=5, env=process.clean_environment({"A": "b"}), pass_fds=[passed]
        )
    finally:
        os.close(leaked)
        reader.close()
        writer.close()
    words = result.stdout.decode().split()
    assert {int(word) for word in words if word.isdigit()} == {0, 1, 2, passed}
    assert str(leaked) not in words
    assert "A=b" in words
    assert not [word for word in words if word.startswith("SECRET")]


async def test_missing_program_is_one_clear_line():
    with pytest.raises(FailedPrecondition, match="cannot start /nonexistent: No such file"):
        await process.run(["/nonexistent"], timeout=5)


async def test_spawn_streams_both_ways_and_half_closes():
    child = process.spawn(["/bin/cat"], stdin=process.PIPE, stdout=process.PIPE)
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        await child.stdin.write(b"hello")
        assert await child.stdout.read() == b"hello"
        await child.stdin.close()
        assert await child.stdout.read() == b""
        assert await child.wait() == 0
    finally:
        await child.aclose()
    with pytest.raises(BrokenPipeError):
        await child.stdin.write(b"more")


async def test_nothing_leaks_over_many_runs():
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        await process.run(["/bin/true"], timeout=5)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("code", "out", "err", "line"),
    [
        (1, b"", b"", "exit status 1"),
        (1, b"", b"\0" * 9000, "exit status 1"),
        (137, b"a\nb\n", b"", "b"),
        (1, b"out", b"first\nlast \x1b[31m\n\n", "last  [31m"),
    ],
)
def test_the_line_of_an_error_is_never_empty_and_printable(code, out, err, line):
    assert process.Result(code, out, err).line() == line
