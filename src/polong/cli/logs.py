"""`logs`: what containers wrote, byte for byte; followed, of several containers and Pods at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from polong.cli import pods
from polong.cli.api import Api
from polong.cli.durations import Duration, moment
from polong.cli.errors import Failure, explain
from polong.cli.escape import block
from polong.cli.flags import api_options, command, flag
from polong.cli.target import Target
from polong.client.transport import Call
from polong.kit.errors import PolongError
from polong.kit.tasks import Tasks
from polong.objects.gvk import PODS

Json = dict[str, Any]

_SELECTOR_TAIL = 10

_EXAMPLES = """
polong logs nginx
polong logs -f nginx -c shell --tail=20
polong logs nginx --all-containers --prefix
polong logs -l app=web --since=5m
"""


@dataclass(frozen=True)
class _Source:
    pod: str
    container: str


@command("logs", help="Print what containers wrote.", examples=_EXAMPLES)
@click.argument("args", nargs=-1, metavar="POD [CONTAINER] | -l LABELS")
@click.option("-c", "--container", metavar="NAME", help="Container (default: the first).")
@flag("-f", "--follow", help="Keep printing what is written.")
@click.option("--tail", type=int, default=None, metavar="LINES", help="Only the last lines (-1: all; with -l the last 10).")
@click.option("--since", type=Duration(), default=None, metavar="TIME", help="Only what is newer, such as 5s, 2m or 3h.")
@click.option("--since-time", default=None, metavar="DATE", help="Only what is newer than an RFC 3339 date.")
@flag("-p", "--previous", help="Of the previous run of the container.")
@flag("--timestamps", help="Put its time before each line.")
@flag("--all-containers", help="Of all containers of the Pod.")
@flag("--prefix", help="Put Pod and container before each line.")
@click.option("--limit-bytes", type=int, default=None, metavar="BYTES", help="At most so many bytes.")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Of all Pods that match a label selector.")
@click.option("--max-log-requests", type=int, default=5, metavar="N", help="With -f -l: at most so many at once.")
@flag("--ignore-errors", help="Go on past containers whose log cannot be read.")
@api_options
def logs(target: Target, args: tuple[str, ...], container: str | None, **flags: Any) -> None:  # noqa: ANN401
    if not args and not flags["selector"]:
        raise Failure("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'; POD or -l is required")
    if len(args) > 2 or (args and flags["selector"]):
        raise Failure("one Pod and one container, or a selector (-l)")
    if len(args) == 2 and container:
        raise Failure("only one of -c or an inline [CONTAINER] arg is allowed")
    target.run(lambda api: _logs(api, args[0] if args else "", container or (args[1] if len(args) == 2 else None), flags))


def query(flags: dict[str, Any]) -> list[tuple[str, str]]:
    """PodLogOptions. Failure where flags exclude each other."""
    if flags["since"] is not None and flags["since_time"]:
        raise Failure("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if flags["since_time"] and moment(flags["since_time"]) is None:
        raise Failure(f"--since-time must be an RFC 3339 date, such as 2026-01-31T12:00:00Z: {flags['since_time']!r}")
    tail = flags["tail"]
    if tail is None and flags["selector"]:
        tail = _SELECTOR_TAIL
    if tail is not None and tail < -1:
        raise Failure("--tail must be greater than or equal to -1")
    pairs: list[tuple[str, object]] = [
        ("follow", "true" if flags["follow"] else None),
        ("previous", "true" if flags["previous"] else None),
        ("timestamps", "true" if flags["timestamps"] else None),
        ("sinceSeconds", None if flags["since"] is None else max(1, round(flags["since"]))),
        ("sinceTime", flags["since_time"]),
        ("tailLines", None if tail == -1 else tail),
        ("limitBytes", flags["limit_bytes"]),
    ]
    return [(name, str(value)) for name, value in pairs if value is not None]


async def _logs(api: Api, name: str, container: str | None, flags: dict[str, Any]) -> None:
    sources = await _sources(api, name, container, flags)
    wanted = query(flags)
    if flags["follow"] and len(sources) > flags["max_log_requests"]:
        raise Failure(
            f"you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency is {flags['max_log_requests']}, "
            "use --max-log-requests to increase the limit"
        )
    if len(sources) == 1 or not flags["follow"]:
        for source in sources:
            await _one(api, source, wanted, flags)
        return
    tasks = Tasks("logs")
    try:
        await asyncio.gather(*(tasks.start(_one(api, source, wanted, flags), f"{source.pod}/{source.container}") for source in sources))
    finally:
        await tasks.aclose()


async def _sources(api: Api, name: str, container: str | None, flags: dict[str, Any]) -> list[_Source]:
    if name:
        found = [await pods.find(api, name)]
    else:
        found = list((await api.get(PODS.path(api.namespace), [("labelSelector", flags["selector"])])).get("items") or [])
        if not found:
            click.echo(f"No resources found in {api.namespace} namespace.", err=True)
    if flags["all_containers"]:
        return [_Source(pod["metadata"]["name"], item) for pod in found for item in _in_start_order(pod)]
    return [_Source(pod["metadata"]["name"], pods.choose(pod, container)) for pod in found]


def _in_start_order(pod: Json) -> list[str]:
    """Init containers first: what they wrote came first."""
    spec = pod["spec"]
    return [item["name"] for field in ("initContainers", "containers", "ephemeralContainers") for item in spec.get(field) or []]


async def _one(api: Api, source: _Source, wanted: list[tuple[str, str]], flags: dict[str, Any]) -> None:
    call = Call("GET", PODS.path(api.namespace, source.pod, "log"), [("container", source.container), *wanted], {"accept": "*/*"})
    write: Callable[[bytes], None] = _Prefixed(f"[pod/{source.pod}/{source.container}] ".encode()) if flags["prefix"] else _write
    try:
        async for chunk in api.chunks(call):
            write(chunk)
        if isinstance(write, _Prefixed):
            write.end()
    except PolongError as error:
        if not flags["ignore_errors"]:
            raise
        click.echo(block(explain(error)), err=True)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class _Prefixed:
    """Whole lines with a prefix; an unfinished one waits for its end."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            _write(b"".join(self._prefix + line + b"\n" for line in lines))

    def end(self) -> None:
        if self._rest:
            _write(self._prefix + self._rest + b"\n")
