"""`python -m tools.bench.api`: the API server alone, over TLS, on a store that is as durable as a node's. Figures in Markdown.

No kubelet runs: Pods are objects here. Client and server share the machine, so the client's cost (bytes in, bytes out, no decoding but
of watches) is in every time; the CPU is the server's alone, and says more where others use the machine as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.bench import report

from polong.api.app import Service
from polong.api.http import Server
from polong.daemon import pki
from polong.kit import garbage
from polong.store import SQLiteStorage

PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
MERGE = "application/merge-patch+json"
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
    garbage.settle()
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

    def cpu(self) -> float:
        """Seconds that the server has spent."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


Job = Callable[[Connection, int], Awaitable[object]]


@dataclass(frozen=True)
class Figure:
    """`took` are the seconds of each request, in order of their length; `cpu` the server's own seconds for all of them."""

    took: Sequence[float]
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    @property
    def median(self) -> float:
        return statistics.median(self.took)

    @property
    def p99(self) -> float:
        return self.took[int(len(self.took) * 0.99)]

    def text(self) -> str:
        cpu = self.cpu / len(self.took)
        return f"{self.median * 1e3:.1f} ms, p99 {self.p99 * 1e3:.1f} ms; {cpu * 1e3:.1f} ms of CPU"


async def _measured(bench: Bench, job: Callable[[], Awaitable[Sequence[float]]]) -> Figure:
    start, cpu = time.perf_counter(), bench.cpu()
    took = await job()
    return Figure(sorted(took), time.perf_counter() - start, bench.cpu() - cpu)


async def _writes(bench: Bench, count: int, job: Job, writers: int = WRITERS) -> str:
    figure = await _measured(bench, lambda: bench.together(count, job, writers))
    return f"{figure.rate:.0f} /s ({figure.text()})"


_READS = (
    ("list, JSON", PODS, "application/json"),
    ("list, Table", PODS, TABLE),
    ("list, metadata", PODS, METADATA),
    ("list, a page of 500, Table", PODS + "?limit=500", TABLE),
    ("list by label, a tenth of them", PODS + "?labelSelector=shard%3D3", "application/json"),
    ("get", PODS + "/p00001", "application/json"),
)


async def _read(bench: Bench, connection: Connection, path: str, accept: str, times: int) -> str:
    size = 0

    async def ask() -> list[float]:
        nonlocal size
        took = []
        for _ in range(times):
            start = time.perf_counter()
            size = len(await connection.ask("GET", path, accept=accept))
            took.append(time.perf_counter() - start)
        return took

    return f"{(await _measured(bench, ask)).text()}; {size / 1024:,.0f} KiB"


async def _fan_out(bench: Bench) -> str:
    """WATCHERS readers, CHANGES changes: how long after a write was sent its event is with each reader."""
    sent: dict[str, float] = {}
    seen: list[tuple[str, float]] = []
    asking = await bench.connect()
    start_at = json.loads(await asking.ask("GET", PODS + "?limit=1"))["metadata"]["resourceVersion"]
    asking.close()

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
    await asyncio.sleep(2)

    async def change(connection: Connection, number: int) -> None:
        address = f"10.9.{number // 250}.{number % 250}"
        sent[address] = time.perf_counter()
        body = json.dumps({"status": {"podIP": address}}).encode()
        await connection.ask("PATCH", f"{PODS}/p{number:05}/status", body, media=MERGE)

    async def fan_out() -> list[float]:
        await bench.together(CHANGES, change, 4)
        await asyncio.gather(*readers)
        return [moment - sent[address] for address, moment in seen]

    figure = await _measured(bench, fan_out)
    return f"{figure.rate:,.0f} events/s; from the write's begin to each reader {figure.text()} for each event"


Table = dict[str, dict[int, str]]
"""What was measured, at each number of Pods."""


async def measure(bench: Bench, sizes: Sequence[int]) -> Table:
    rows: Table = defaultdict(dict)
    empty, done = bench.memory(), 0
    rows["memory"][0] = f"{empty / 2**20:.0f} MiB"
    for turn, size in enumerate(sizes):
        base = done
        rows["create"][size] = await _writes(bench, size - base, lambda c, n, b=base: c.ask("POST", PODS, pod(b + n)))  # type: ignore[misc]
        rows["patch of the status"][size] = await _writes(
            bench,
            min(size, 2000),
            lambda c, n, t=turn: c.ask("PATCH", f"{PODS}/p{n:05}/status", status(n, t), media=MERGE),  # type: ignore[misc]
        )
        connection = await bench.connect()
        for name, path, accept in _READS:
            rows[name][size] = await _read(bench, connection, path, accept, 5 if size > 2000 else 25)
        connection.close()
        rows["memory"][size] = f"{bench.memory() / 2**20:.0f} MiB ({(bench.memory() - empty) / size / 1024:.0f} KiB for each Pod)"
        done = size
    rows["patch, one writer"][done] = await _writes(
        bench, 100, lambda c, n: c.ask("PATCH", f"{PODS}/p{n:05}/status", status(n, 251), media=MERGE), 1
    )
    rows[f"watch, {WATCHERS} readers"][done] = await _fan_out(bench)
    rows["delete"][done] = await _writes(bench, done, lambda c, n: c.ask("DELETE", f"{PODS}/p{n:05}?gracePeriodSeconds=0"))
    rows["memory after all are deleted"][done] = f"{bench.memory() / 2**20:.0f} MiB"
    return rows


def table(rows: Table) -> str:
    """In Markdown, a column for each number of Pods."""
    sizes = sorted({size for row in rows.values() for size in row})
    lines = ["| | " + " | ".join(f"{size:,} Pods" for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(row.get(size, "") for size in sizes) + " |" for name, row in rows.items()]
    return "\n".join(lines)


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


BEGIN, END = "<!-- made by `make bench-api` from here -->", "<!-- to here -->"


async def main(sizes: Sequence[int], docs: Path | None) -> None:
    async with running() as bench:
        made = table(await measure(bench, sizes))
    facts = "; ".join(f"{name}: {value}" for name, value in report.facts().items())
    passage = f"{made}\n\n{datetime.now(UTC):%Y-%m-%d}; {WRITERS} writers, one reader; {facts}."
    print(passage)
    if docs is not None:
        text = docs.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END, text.index(BEGIN))
        docs.write_text(f"{text[:begin]}\n\n{passage}\n\n{text[end:]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.bench.api", description="Measure the API server alone.")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000], help="numbers of Pods to grow through")
    parser.add_argument("--docs", type=Path, help="a file to put the table into, between its marks")
    options = parser.parse_args()
    asyncio.run(serve(options.serve) if options.serve else main(options.sizes, options.docs))
