"""polong.dev/v1alpha1, what concerns processes: pods/processes (get, watch), pods/signal, pods/restart (create), hostprocesses (get)."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from polong.api import status
from polong.api.paths import Target, is_true
from polong.api.ports import Node
from polong.api.service import Request, Response
from polong.kit import signals
from polong.kit.errors import BadRequest, NotFound, PolongError
from polong.objects import decode
from polong.objects import pod as pods
from polong.objects.podsignal import SignalOptions

Json = dict[str, Any]
Pod = Callable[[], Awaitable[Json]]

API_VERSION = "polong.dev/v1alpha1"
SUBRESOURCES = frozenset({"processes", "signal", "restart"})
HOST = "hostprocesses"

_SHORTEST, _LONGEST = 0.2, 60.0
_WATCH_SECONDS = 1800
_PATTERN = 256


async def handle(request: Request, target: Target, query: Mapping[str, str], node: Node, pod: Pod) -> Response:
    """One request about a Pod's processes; `pod` reads the Pod anew whenever it is called (NotFound once it is gone)."""
    user = request.user.name if request.user else ""
    match target.subresource, request.method:
        case "processes", "GET" | "HEAD":
            full = is_true(query.get("full", ""))
            if not is_true(query.get("watch", "")):
                return Response(200, await _list(node, await pod(), full=full))
            interval, seconds = _interval(query), _seconds(query)
            return Response(200, events=_watch(node, pod, await pod(), full=full, interval=interval, seconds=seconds))
        case "signal", "POST":
            options = signal_options(body(request), dry_run=query.get("dryRun") == "All")
            return Response(201, await node.signal(await pod(), options, user))
        case "restart", "POST":
            fields = checked(body(request), {"container": str})
            return Response(201, await node.restart(await pod(), fields.get("container", ""), user))
    raise status.method_not_allowed()


async def handle_host(request: Request, name: str, query: Mapping[str, str], node: Node) -> Response:
    """Whose a PID of the host is."""
    if request.method not in ("GET", "HEAD"):
        raise status.method_not_allowed()
    if not name.isascii() or not name.isdigit() or not 0 < int(name) < 1 << 31:
        raise BadRequest(f"{name[:40]!r} is not a PID")
    return Response(200, await node.owner(int(name), query.get("cgroup", ""), killed=is_true(query.get("killed", ""))))


async def _list(node: Node, pod: Json, *, full: bool) -> Json:
    return await (node.processes(pod, full=True) if full else node.processes(pod))


# --- watch ---------------------------------------------------------------------------------------------------------------------------


def _interval(query: Mapping[str, str]) -> float:
    text = query.get("interval", "1")
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = -1.0
    if not _SHORTEST <= value <= _LONGEST:
        raise BadRequest(f"interval {text[:20]!r} must be a number of seconds from {_SHORTEST} to {_LONGEST:g}")
    return value


def _seconds(query: Mapping[str, str]) -> int:
    text = query.get("timeoutSeconds", "")
    if text and (not text.isascii() or not text.isdigit()):
        raise BadRequest(f"timeoutSeconds {text[:20]!r} must be a number")
    return min(int(text[:9] or 0) or _WATCH_SECONDS, _WATCH_SECONDS)


async def _watch(node: Node, pod: Pod, first: Json, *, full: bool, interval: float, seconds: int) -> AsyncIterator[Json]:
    """What is there as ADDED, then what changes, looked at every `interval` seconds; ends after `seconds`, or with the Pod."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    known: dict[tuple[int, int], Json] = {}
    current: Json | None = first
    while current is not None:
        try:
            listing = await _list(node, current, full=full)
        except PolongError as error:
            yield {"type": "ERROR", "object": status.failure(error)}
            return
        for event in changes(known, listing):
            yield event
        if loop.time() + interval > deadline:
            return
        await asyncio.sleep(interval)
        current = await _same(pod, first)
    for event in changes(known, {"items": []}):
        yield event


async def _same(pod: Pod, first: Json) -> Json | None:
    """The Pod as it is now; None once it is gone, though another one may bear its name."""
    try:
        found = await pod()
    except NotFound:
        return None
    return found if pods.uid(found) == pods.uid(first) else None


def changes(known: dict[tuple[int, int], Json], listing: Json) -> list[Json]:
    """Events from what was known (which becomes what is) to the listing: those gone, those new, those that differ."""
    now = {(item["hostPID"], item["startTicks"]): item for item in listing["items"]}
    events = [_event("DELETED", known[key]) for key in known if key not in now]
    for key, item in now.items():
        if key not in known:
            events.append(_event("ADDED", item))
        elif item != known[key]:
            events.append(_event("MODIFIED", item))
    known.clear()
    known.update(now)
    return events


def _event(kind: str, item: Json) -> Json:
    return {"type": kind, "object": {"kind": "Process", "apiVersion": API_VERSION, **item}}


# --- bodies --------------------------------------------------------------------------------------------------------------------------

_SIGNAL = {"signal": str, "container": str, "pid": int, "match": str, "all": bool, "dryRun": bool, "allowPause": bool}


def signal_options(asked: Json, *, dry_run: bool = False) -> SignalOptions:
    """BadRequest for unknown fields, a wrong type, an unknown signal, or more than one way to choose."""
    fields = checked(asked, _SIGNAL)
    try:
        number = signals.parse(fields.get("signal", ""))
    except ValueError as error:
        given = fields.get("signal", "")
        raise BadRequest(_unknown_signal(given, str(error)) if given else "the field signal is missing") from None
    chosen = [name for name in ("pid", "match", "all") if fields.get(name)]
    if len(chosen) > 1:
        raise BadRequest(f"choose by {chosen[0]} or by {chosen[1]}, not by both")
    if fields.get("pid", 1) <= 0:
        raise BadRequest(f"pid {fields['pid']} is not a PID")
    if len(fields.get("match", "")) > _PATTERN:
        raise BadRequest(f"match may have at most {_PATTERN} characters")
    return SignalOptions(
        number=number,
        container=fields.get("container", ""),
        pid=fields.get("pid", 0),
        match=fields.get("match", ""),
        everyone=fields.get("all", False),
        dry_run=dry_run or fields.get("dryRun", False),
        allow_pause=fields.get("allowPause", False),
    )


def _unknown_signal(given: str, text: str) -> str:
    near = difflib.get_close_matches(given.upper().removeprefix("SIG"), signals.names(), n=1)
    return f"{text}; did you mean {near[0]!r}?" if near else f"{text}: one of {', '.join(signals.names())}, or a number"


def body(request: Request) -> Json:
    """Of a create. BadRequest where it is no JSON object."""
    found = decode.parse_json(request.body) if isinstance(request.body, bytes) else request.body
    if not isinstance(found, dict):
        raise BadRequest("cannot read the request: the body must be a JSON object")
    return found


def checked(fields: Json, types: Mapping[str, type]) -> Json:
    """The same; BadRequest for a field that is unknown, or of another type."""
    for name, value in fields.items():
        if name in ("kind", "apiVersion", "metadata"):
            continue
        if name not in types:
            raise BadRequest(f'unknown field "{name[:60]}"')
        if type(value) is not types[name]:
            raise BadRequest(f"the field {name} must be {_TYPES[types[name]]}")
    return fields


_TYPES = {str: "a string", int: "a whole number", bool: "true or false"}
