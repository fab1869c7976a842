"""exec: pipes and terminals, exit codes, half-close, background children, cancellation; with crun and runc."""

import asyncio
import time

import pytest

from polong.kit.errors import FailedPrecondition
from polong.kit.stdio import TerminalSize
from polong.linux import proc

pytestmark = pytest.mark.root


@pytest.fixture
async def container(node) -> str:
    made, _ = await node.container("/bin/sleep", "1000")
    return made


async def run(node, container: str, *args: str, stdin: bool = False, terminal: bool = False):
    document = node.document(container, *args, terminal=terminal)
    return await node.runtime.exec(container, document, stdin=stdin, cgroup=node.cgroup_of(container))


async def everything(stream) -> bytes:
    data = b""
    while chunk := await stream.read():
        data += chunk
    return data


async def until_text(stream, text: bytes) -> bytes:
    data = b""
    while text not in data:
        chunk = await asyncio.wait_for(stream.read(), 10)
        assert chunk, data
        data += chunk
    return data


async def test_outputs_are_apart_and_the_code_comes_through(node, container):
    process = await run(node, container, "/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    out, err = await asyncio.gather(everything(process.stdout), everything(process.stderr))
    assert (out, err, await process.wait()) == (b"out\n", b"err\n", 7)
    await process.aclose()
    await process.aclose()


async def test_death_by_signal_is_128_plus_n(node, container):
    process = await run(node, container, "/bin/sh", "-c", "kill -TERM $$; sleep 5")
    assert await process.wait() == 143
    await process.aclose()


async def test_stdin_flows_and_half_closes(node, container):
    process = await run(node, container, "/bin/cat", stdin=True)
    data = b"0123456789abcdef" * 20_000

    async def feed() -> None:
        await process.stdin.write(data)
        await process.stdin.close()

    out, _ = await asyncio.gather(everything(process.stdout), feed())
    assert out == data
    assert await process.wait() == 0
    await process.aclose()


async def test_without_stdin_the_command_reads_nothing(node, container):
    process = await run(node, container, "/bin/cat")
    assert process.stdin is None
    assert await everything(process.stdout) == b""
    assert await process.wait() == 0
    await process.aclose()


@pytest.mark.parametrize("command", ["/bin/nonexistent", "nonexistent", "/etc"])
@pytest.mark.parametrize("terminal", [False, True])
async def test_a_command_that_cannot_start_is_one_line(node, container, command, terminal):
    with pytest.raises(FailedPrecondition, match=r"^cannot exec in container: .") as caught:
        await run(node, container, command, terminal=terminal)
    assert "\n" not in caught.value.message
    assert not list((node.directory / "run/exec").iterdir())


async def test_a_terminal_has_a_size_echo_and_interrupt(node, container):
    process = await run(node, container, "/bin/sh", "-i", terminal=True)
    assert process.stderr is None
    await until_text(process.stdout, b"#")
    process.resize(TerminalSize(width=132, height=43))
    await process.stdin.write(b"stty size\n")
    assert b"stty size\r\n43 132\r\n" in await until_text(process.stdout, b"43 132\r\n")
    await process.stdin.write(b"sleep 1000\n")
    await until_text(process.stdout, b"sleep 1000")
    deadline = time.monotonic() + 10
    while not [pid for pid in node.groups.processes(node.cgroup_of(container)) if _terminal_sleep(pid)]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await process.stdin.write(b"\x03")
    await until_text(process.stdout, b"#")
    await process.stdin.write(b"exit 5\n")
    await everything(process.stdout)
    assert await asyncio.wait_for(process.wait(), 10) == 5
    process.resize(TerminalSize(1, 1))
    await process.aclose()


def _terminal_sleep(pid: int) -> bool:
    try:
        found = proc.stat(pid)
        return found.tty != 0 and "sleep" in " ".join(proc.command(pid))
    except ProcessLookupError:
        return False


async def test_all_output_of_a_terminal_arrives(node, container):
    process = await run(node, container, "/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done", terminal=True)
    out, code = await asyncio.gather(everything(process.stdout), process.wait())
    assert code == 0
    assert out.count(b"\r\n") == 20000
    assert out.endswith(b"line 19999\r\n")
    await process.aclose()


async def test_a_background_child_keeps_neither_the_session_nor_dies(node, container):
    begin = time.monotonic()
    process = await run(node, container, "/bin/sh", "-c", "sleep 1000 & echo started $!")

    async def code() -> int:
        return await process.wait()

    out, status = await asyncio.gather(everything(process.stdout), code())
    assert (status, out.startswith(b"started")) == (0, True)
    assert time.monotonic() - begin < 5
    await process.aclose()
    assert len(node.groups.processes(node.cgroup_of(container))) == 2


async def test_output_without_end_is_cut_after_the_exit(node, container):
    process = await run(node, container, "/bin/sh", "-c", "while :; do echo y; done & exit 0")
    _, code = await asyncio.wait_for(asyncio.gather(everything(process.stdout), process.wait()), 20)
    assert code == 0
    await process.aclose()


async def test_kill_ends_it(node, container):
    process = await run(node, container, "/bin/sleep", "1000")
    process.kill()
    process.kill()
    assert await asyncio.wait_for(process.wait(), 10) == 137
    await process.aclose()
    assert len(node.groups.processes(node.cgroup_of(container))) == 1


async def test_closing_without_waiting_kills_it_and_leaves_no_file(node, container):
    process = await run(node, container, "/bin/sleep", "1000", stdin=True)
    pid = process.pid
    await process.aclose()
    assert not proc.alive(pid)
    assert not list((node.directory / "run/exec").iterdir())


async def test_a_script_without_interpreter_is_refused_in_words(node, container):
    script = node.rootfs / "bin/script"
    script.write_text("echo hello\n")
    script.chmod(0o755)

    process = await run(node, container, "/bin/script")
    if node.launcher.name == "crun":
        with pytest.raises(FailedPrecondition, match=r"(?i)exec format error"):
            await process.wait()
    else:
        # runc tells it on the process's own standard error.
        assert b"exec format error" in await everything(process.stderr)
        assert await process.wait() != 0
    await process.aclose()


async def test_the_process_has_the_containers_rights_and_no_more(node, container):
    process = await run(node, container, "/bin/sleep", "1000")
    main = proc.status(int((await node.runtime.state(container))["pid"]))
    deadline = time.monotonic() + 10
    while proc.status(process.pid).seccomp != 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    found = proc.status(process.pid)
    assert (found.cap_inheritable, found.cap_ambient) == (0, 0)
    assert found.cap_bounding == main.cap_bounding
    assert found.no_new_privileges
    await process.aclose()


async def test_uids_are_exact(node, container):
    for uid in (0, 1, 2, 9, 10, 1000, 65534, 2**31 - 1):
        document = node.document(container, "/bin/sh", "-c", "id -u; id -g; id -G")
        document["user"] = {"uid": uid, "gid": 7, "additionalGids": [7, 8]}
        process = await node.runtime.exec(container, document, stdin=False, cgroup=node.cgroup_of(container))
        out = await everything(process.stdout)
        await process.wait()
        await process.aclose()
        assert out.decode().split() == [str(uid), "7", "7", "8"]
