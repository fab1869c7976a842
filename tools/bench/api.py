"""`python -m tools.bench.api`: the API server alone, over TLS, on a store that is as durable as a node's. Figures in Markdown.

No kubelet runs: Pods are objects here. Client and server share the machine, so the client's cost (bytes in, bytes out, no decoding but
of watches) is in every figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from polong.api.app import Service
from polong.api.http import Server
from polong.daemon import pki
from polong.store import SQLiteStorage

PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
WRITERS = 32
WATCHERS = 100
CHANGES = 200


async def serve(directory: Path) -> None:
    """The server's process: prints its port, ends with its standard input."""
    credentials = pki.ensure(directory / "pki", pki.serving_hosts())
    storage = await SQLiteStorage.open(directory / "state.db")
    service = Service(storage, node_name="bench")
    await service.start()
    server = Server(service)
    port = await server.start("127.0.0.1", 0, certificate=credentials.server_cert, key=credentials.server_key, client_ca=credentials.ca)
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()
    await service.aclose()
    await storage.aclose()


class Connection:
    """One HTTP/1.1 connection that waits for each answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(
        self, method: str, path: str, body: bytes = b"", accept: str = "application/json", media: str = "application/json"
    ) -> bytes:
        await self._send(method, path, body, accept, media)
        status, length = await self._head()
        answer = await self._reader.readexactly(length)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return answer

    async def watch(self, path: str) -> AsyncIterator[tuple[float, bytes]]:
        """Lines of an endless answer, and when they came."""
        await self._send("GET", path, b"", "application/json", "")
        await self._head()
        while size := int(await self._reader.readline() or b"0", 16):
            chunk = await self._reader.readexactly(size + 2)
            moment = time.perf_counter()
            for line in chunk[:-2].splitlines():
                yield moment, line

    async def _send(self, method: str, path: str, body: bytes, accept: str, media: str) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nUser-Agent: bench/1\r\nContent-Length: {len(body)}\r\n"
        self._writer.write((head + (f"Content-Type: {media}\r\n" if body else "") + "\r\n").encode() + body)
        await self._writer.drain()

    async def _head(self) -> tuple[int, int]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
        return int(lines[0].split()[1]), lengths[0] if lengths else 0

    def close(self) -> None:
        self._writer.close()


@dataclass
class Bench:
    port: int
    context: ssl.SSLContext
    pid: int

    async def connect(self) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, limit=64 * 1024 * 1024))

    async def together(self, count: int, job: Callable[[Connection, int], Awaitable[object]], writers: int = WRITERS) -> list[float]:
        """Jobs 0 … count-1 over `writers` connections: the seconds of each."""
        left, taken = iter(range(count)), list[float]()

        async def work() -> None:
            connection = await self.connect()
            for number in left:
                start = time.perf_counter()
                await job(connection, number)
                taken.append(time.perf_counter() - start)
            connection.close()

        await asyncio.gather(*(work() for _ in range(writers)))
        return taken

    def memory(self) -> int:
        """Resident bytes of the server."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def pod(number: int) -> bytes:
    containers = [
        {
            "name": "nginx",
            "image": "nginx:1.27",
            "ports": [{"containerPort": 80}],
            "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
        },
        {"name": "shell", "image": "busybox:1.28", "command": ["sleep", "3600"], "env": [{"name": "A", "value": "b"}]},
    ]
    metadata = {"name": f"p{number:05}", "labels": {"app": "bench", "shard": str(number % 10)}}
    spec = {"shareProcessNamespace": True, "containers": containers}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).encode()


def status(number: int, turn: int) -> bytes:
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"} for kind in ("Initialized", "Ready")]
    return json.dumps({"status": {"phase": "Running", "podIP": f"10.0.{turn}.{number % 250}", "conditions": conditions}}).encode()


Row = tuple[str, str]


def _milliseconds(taken: Sequence[float]) -> str:
    ordered = sorted(taken)
    return f"{statistics.median(ordered) * 1e3:.1f} ms, p99 {ordered[int(len(ordered) * 0.99)] * 1e3:.1f} ms"


async def _rate(bench: Bench, what: str, count: int, job: Callable[[Connection, int], Awaitable[object]], writers: int = WRITERS) -> Row:
    start = time.perf_counter()
    taken = await bench.together(count, job, writers)
    seconds = time.perf_counter() - start
    return what, f"{count / seconds:.0f} /s ({_milliseconds(taken)})"


async def _reads(bench: Bench, count: int) -> list[Row]:
    rows = []
    connection = await bench.connect()
    for name, path, accept in (
        ("list, JSON", PODS, "application/json"),
        ("list, Table", PODS, TABLE),
        ("list by label, a tenth", PODS + "?labelSelector=shard%3D3", "application/json"),
        ("get", PODS + "/p00001", "application/json"),
    ):
        taken, size = [], 0
        for _ in range(5 if count > 2000 else 15):
            start = time.perf_counter()
            size = len(await connection.ask("GET", path, accept=accept))
            taken.append(time.perf_counter() - start)
        rows.append((f"{name} of {count:,}", f"{_milliseconds(taken)}, {size / 1024:,.0f} KiB"))
    connection.close()
    return rows


async def _fan_out(bench: Bench) -> Row:
    """WATCHERS readers, CHANGES changes: how long after a write was answered its event is with each reader."""
    answered: dict[str, float] = {}
    seen: list[tuple[str, float]] = []
    start_at = json.loads(await (await bench.connect()).ask("GET", PODS + "?limit=1"))["metadata"]["resourceVersion"]

    async def read() -> None:
        connection = await bench.connect()
        got = 0
        async for moment, line in connection.watch(f"{PODS}?watch=true&resourceVersion={start_at}"):
            mark = line.index(b'"podIP":"') + 9
            seen.append((line[mark : line.index(b'"', mark)].decode(), moment))
            got += 1
            if got == CHANGES:
                break
        connection.close()

    readers = [asyncio.ensure_future(read()) for _ in range(WATCHERS)]  # noqa: TID251 - a tool, not the product
    await asyncio.sleep(1)
    start = time.perf_counter()

    async def change(connection: Connection, number: int) -> None:
        body = json.dumps({"status": {"podIP": f"10.9.{number // 250}.{number % 250}"}}).encode()
        await connection.ask("PATCH", f"{PODS}/p{number:05}/status", body, media="application/merge-patch+json")
        answered[f"10.9.{number // 250}.{number % 250}"] = time.perf_counter()

    await bench.together(CHANGES, change, 4)
    await asyncio.gather(*readers)
    seconds = time.perf_counter() - start
    lags = [max(0.0, moment - answered[key]) for key, moment in seen]
    return f"watch, {WATCHERS} readers", f"{len(seen) / seconds:,.0f} events/s (lag {_milliseconds(lags)})"


async def measure(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    rows: list[Row] = [("idle server", f"{bench.memory() / 2**20:.0f} MiB")]
    done = 0
    merge = "application/merge-patch+json"
    for size in sizes:
        base = done
        rows.append(await _rate(bench, f"create, up to {size:,} Pods", size - base, lambda c, n, b=base: c.ask("POST", PODS, pod(b + n))))  # type: ignore[misc]
        turn = len(rows) % 250
        changed = min(size, 2000)
        rows.append(
            await _rate(
                bench,
                f"patch of the status among {size:,}",
                changed,
                lambda c, n, t=turn: c.ask("PATCH", f"{PODS}/p{n:05}/status", status(n, t), media=merge),  # type: ignore[misc]
            )
        )
        rows += await _reads(bench, size)
        rows.append((f"memory with {size:,}", f"{bench.memory() / 2**20:.0f} MiB"))
        done = size
    alone = await _rate(
        bench, "patch, one writer", 100, lambda c, n: c.ask("PATCH", f"{PODS}/p{n:05}/status", status(n, 251), media=merge), 1
    )
    rows += [alone, await _fan_out(bench)]
    rows.append(await _rate(bench, "delete", done, lambda c, n: c.ask("DELETE", f"{PODS}/p{n:05}?gracePeriodSeconds=0")))
    rows.append(("memory after all are deleted", f"{bench.memory() / 2**20:.0f} MiB"))
    return rows


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="polong-bench-") as directory:
        process = await asyncio.create_subprocess_exec(  # noqa: TID251 - a tool, not the product
            *(sys.executable, "-m", "tools.bench.api", "--serve", directory), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port = int(await process.stdout.readline())
            folder = Path(directory) / "pki"
            context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
            context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
            yield Bench(port, context, process.pid)
        finally:
            process.stdin.close()
            await process.wait()


async def main(sizes: Sequence[int]) -> None:
    async with running() as bench:
        rows = await measure(bench, sizes)
    print("| API server alone | figure |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.bench.api", description="Measure the API server alone.")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000], help="numbers of Pods to grow through")
    options = parser.parse_args()
    asyncio.run(serve(options.serve) if options.serve else main(options.sizes))
