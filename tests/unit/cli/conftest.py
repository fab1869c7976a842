"""A real API server on loopback over memory, its node a double: what the command line talks to in these tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from polong.api.app import Service
from polong.api.http import Server
from polong.api.ports import Node
from polong.api.service import Request, User
from polong.cli import app
from polong.daemon import kubeconfig, pki
from polong.kit.stdio import Stdio, TerminalSize
from polong.kit.tasks import Tasks
from polong.objects.podlogs import PodLogOptions
from polong.objects.podsignal import SignalOptions
from polong.store import MemoryStorage

Json = dict[str, Any]
T = TypeVar("T")

ADMIN = User("test", ("system:masters",))


class FakeNode:
    """Satisfies `api.ports.Node`: echoes."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.processes_of: list[Json] = []
        self.full = False
        self.outcome = "sent"
        self.signalled: SignalOptions | None = None

    async def exec(self, pod: Json, container: str, command: Sequence[str], stdio: Stdio) -> int:
        assert stdio.stdout is not None
        await stdio.stdout.write(f"{container}: {' '.join(command)}\n".encode())
        if stdio.stderr is not None:
            await stdio.stderr.write(b"to stderr\n")
        if stdio.stdin is not None:
            await self._echo(stdio)
        return int(command[-1]) if command[-1].isdigit() else 0

    async def attach(self, pod: Json, container: str, stdio: Stdio) -> None:
        assert stdio.stdout is not None
        await stdio.stdout.write(b"attached\r\n")
        tasks = Tasks("attach")
        if stdio.resize is not None:
            tasks.start(self._resizes(stdio.resize), "sizes")
        if stdio.stdin is not None:
            await self._echo(stdio)
        await tasks.aclose()

    async def _resizes(self, sizes: AsyncIterator[TerminalSize]) -> None:
        async for size in sizes:
            self.sizes.append((size.width, size.height))

    async def _echo(self, stdio: Stdio) -> None:
        assert stdio.stdin is not None
        assert stdio.stdout is not None
        while data := await stdio.stdin.read():
            await stdio.stdout.write(b"<" + data + b">")
            if b"q" in data:
                return

    async def port_forward(self, pod: Json, port: int, stdio: Stdio) -> None:
        assert stdio.stdin is not None
        assert stdio.stdout is not None
        await stdio.stdout.write(b"port %d: " % port + await stdio.stdin.read())
        await stdio.stdout.close()

    async def logs(self, pod: Json, container: str, options: PodLogOptions) -> AsyncIterator[bytes]:
        lines = [f"{container} line {number}\n".encode() for number in range(1, 21)]
        for line in lines[-options.tail_lines :] if options.tail_lines is not None else lines:
            yield line

    async def processes(self, pod: Json, *, full: bool = False) -> Json:
        self.full = full
        return {"apiVersion": "polong.dev/v1alpha1", "kind": "ProcessList", "metadata": pod["metadata"], "items": self.processes_of}

    async def signal(self, pod: Json, options: SignalOptions, user: str = "") -> Json:
        receiver = {"container": "nginx", "role": "main", "pid": 7, "hostPID": 70, "name": "nginx", "command": ["nginx: master\x1b"]}
        outcome = "would be sent" if options.dry_run else self.outcome
        self.signalled = options
        return {"kind": "Signal", "metadata": pod["metadata"], "signal": "SIGHUP", "receivers": [{**receiver, "outcome": outcome}]}

    async def restart(self, pod: Json, container: str, user: str = "") -> Json:
        return {"kind": "Restart", "container": container, "containerID": "old", "restartCount": 1}

    async def owner(self, pid: int, cgroup: str = "", *, killed: bool = False) -> Json:
        found = {"kind": "HostProcess", "hostPID": pid, "name": "java", "command": ["java", "-jar"], "cgroup": cgroup or "/x", "ended": ""}
        place = {"pod": {"name": "web", "namespace": "default", "uid": "u1"}, "container": "app", "role": "main", "pid": 3}
        return {**found, **place, "ended": "OOMKilled" if cgroup else ""} if pid == 4711 else found


_: type[Node] = FakeNode


class Api:
    """The server, in a thread with a loop of its own."""

    def __init__(self, directory: Path) -> None:
        self.node = FakeNode()
        self.kubeconfig = directory / "kubeconfig"
        self._credentials = pki.ensure(directory / "pki", pki.serving_hosts())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api")
        self._thread.start()
        self.call(self._start)

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _start(self) -> None:
        self.storage = MemoryStorage()
        self.service = Service(self.storage, node_name="node", node=self.node)
        await self.service.start()
        self._server = Server(self.service)
        pair = self._credentials
        port = await self._server.start("127.0.0.1", 0, certificate=pair.server_cert, key=pair.server_key, client_ca=pair.ca)
        kubeconfig.write(self.kubeconfig, f"https://127.0.0.1:{port}", pair)

    async def _stop(self) -> None:
        await self._server.stop()
        await self.service.aclose()
        await self.storage.aclose()

    def request(self, method: str, path: str, body: Json | None = None, content_type: str = "application/json") -> Any:
        request = Request(method, path, (), {"content-type": content_type}, body, ADMIN)
        return self.call(lambda: self.service.handle(request)).body

    def pod(self, name: str = "nginx", *containers: str, **spec: Any) -> Json:
        """Create a Pod with these containers."""
        listed = [{"name": each, "image": f"{each}:1", "stdin": True, "tty": True} for each in containers or ("nginx", "shell")]
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": listed, **spec}}
        return self.request("POST", "/api/v1/namespaces/default/pods", body)

    def status(self, name: str, **status: Any) -> None:
        path = f"/api/v1/namespaces/default/pods/{name}/status"
        self.request("PATCH", path, {"status": status}, "application/merge-patch+json")

    def close(self) -> None:
        self.call(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def _api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    api = Api(tmp_path_factory.mktemp("api"))
    yield api
    api.close()


@pytest.fixture
def api(_api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    _api.node.sizes.clear()
    monkeypatch.setenv("KUBECONFIG", str(_api.kubeconfig))
    monkeypatch.delenv("POLONG_ROOT", raising=False)
    yield _api
    for pod in _api.request("GET", "/api/v1/pods")["items"]:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        _api.request("DELETE", path, {"gracePeriodSeconds": 0})


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


Run = Callable[..., Result]


@pytest.fixture
def polong(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """One command line, in this process."""

    def run(*args: str) -> Result:
        code = app.run(list(args))
        out, err = capfdbinary.readouterr()
        return Result(code, out.decode(), err.decode())

    return run
