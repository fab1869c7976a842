"""`port-forward`: local ports that lead into a Pod, one connection at a time or many."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass

import click

from polong.cli import pods
from polong.cli.api import Api
from polong.cli.errors import Failure, explain
from polong.cli.escape import block
from polong.cli.flags import api_options, command
from polong.cli.target import Target
from polong.client import portforward
from polong.kit.errors import PolongError
from polong.kit.stdio import Stdio

_CHUNK = 64 * 1024
_PORTS = re.compile(r"(?:(\d*):)?(\d+|[a-z0-9-]+)")

_EXAMPLES = """
polong port-forward nginx 8080:80
polong port-forward pod/nginx :80 --address 127.0.0.1
"""


@dataclass(frozen=True)
class Forward:
    """`local` 0 takes any free port."""

    local: int
    remote: int


@command("port-forward", help="Forward local ports to a Pod.", examples=_EXAMPLES)
@click.argument("pod")
@click.argument("ports", nargs=-1, required=True, metavar="[LOCAL:]REMOTE...")
@click.option("--address", default="localhost", metavar="ADDRESS", help="Addresses to listen on, separated by commas (default localhost).")
@api_options
def port_forward(target: Target, pod: str, ports: tuple[str, ...], address: str) -> None:
    target.run(lambda api: _forward(api, pod, ports, [part for part in address.split(",") if part]))


def parse(text: str, pod: dict[str, object]) -> Forward:
    """`8080:80`, `:80`, `80`, or a port's name for the remote one. Failure."""
    match = _PORTS.fullmatch(text)
    if match is None:
        raise Failure(f'error parsing local port from "{text}": use [LOCAL:]REMOTE')
    remote = int(match[2]) if match[2].isdigit() else _named(match[2], pod)
    local = int(match[1] or 0) if match[1] is not None else remote
    for number in (remote, local or 1):
        if not 0 < number < 65536:
            raise Failure(f'port {number} of "{text}" is not between 1 and 65535')
    return Forward(local, remote)


def _named(name: str, pod: dict[str, object]) -> int:
    spec = pod.get("spec")
    for container in (spec.get("containers") or []) if isinstance(spec, dict) else []:
        for port in container.get("ports") or []:
            if port.get("name") == name:
                return int(port["containerPort"])
    raise Failure(f"pod does not have a named port '{name}'")


async def _forward(api: Api, name: str, ports: tuple[str, ...], addresses: list[str]) -> None:
    pod = await pods.find(api, name)
    phase = (pod.get("status") or {}).get("phase")
    if phase != "Running":
        raise Failure(f"unable to forward port because pod is not running. Current status={phase}")
    chosen = [parse(text, pod) for text in ports]
    hosts = [host for address in addresses for host in (("127.0.0.1", "::1") if address == "localhost" else (address,))]
    async with contextlib.AsyncExitStack() as stack:
        for forward in chosen:
            await _listen(stack, api, pod["metadata"]["name"], forward, hosts)
        await asyncio.Event().wait()


async def _listen(stack: contextlib.AsyncExitStack, api: Api, pod: str, forward: Forward, hosts: list[str]) -> None:
    opened, problem, local = 0, "", forward.local
    for host in hosts:
        try:
            server = await asyncio.start_server(lambda r, w: _connection(api, pod, forward.remote, r, w), host, local)
        except OSError as error:
            problem = f"unable to listen on port {local} of {host}: {error.strerror or error}"
            continue
        local = server.sockets[0].getsockname()[1]
        stack.push_async_callback(_close, server)
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"Forwarding from {shown}:{local} -> {forward.remote}")
        opened += 1
    if not opened:
        raise Failure(problem)


async def _close(server: asyncio.Server) -> None:
    server.close()


async def _connection(api: Api, pod: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    click.echo(f"Handling connection for {port}")
    try:
        await portforward.forward(api.client, pod, api.namespace, port, Stdio(stdin=_Reader(reader), stdout=_Writer(writer)))
    except (PolongError, OSError) as error:
        click.echo(block(f"error forwarding port {port} to pod {pod}: {explain(error)}"), err=True)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class _Reader:
    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def read(self) -> bytes:
        return await self._reader.read(_CHUNK)


class _Writer:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            if self._writer.can_write_eof() and not self._writer.is_closing():
                self._writer.write_eof()
