"""At whom a handler aims, and what came of it. Pure.

Source: kubelet pkg/probe/types.go, pkg/probe/util.go (ResolveContainerPort), container/helpers.go (ExpandContainerCommandOnlyStatic).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from polong.kit.errors import Invalid
from polong.kubelet.environment import expand

Json = dict[str, Any]

# What of an answer is kept: it goes into an Event.
MAX_OUTPUT = 10 * 1024
# What a handler says of itself in User-Agent.
VERSION = "1.33"


@dataclass(frozen=True)
class Target:
    """One running instance; `ip` is the Pod's first address, the host's for Pods on the host's network."""

    container: Json
    id: str
    ip: str


class Result(Enum):
    """WARNING counts as a success that users are told of; UNKNOWN (the question could not be asked) counts as nothing."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    result: Result
    output: str = ""


def port_number(target: Target, port: int | str) -> int:
    """The number behind `port`: itself, a name from the container's ports, or digits. Invalid where it is none of them."""
    number = port
    if isinstance(port, str):
        named = (each["containerPort"] for each in target.container.get("ports") or () if each.get("name") == port)
        number = next(named, -1)
        if number == -1:
            if not (port.isascii() and port.isdigit()):
                raise Invalid(f"couldn't find port: {quoted(port)} for container {quoted(target.container['name'])}")
            number = int(port)
    if not 0 < int(number) < 65536:
        raise Invalid(f"invalid port number: {number}")
    return int(number)


def static_command(container: Json, command: list[str]) -> list[str]:
    """$(NAME) of what the spec itself gives in env; sources are not resolved again for a probe."""
    values = {each["name"]: each.get("value") or "" for each in container.get("env") or ()}
    return [expand(each, values) for each in command]


def authority(host: str, port: int) -> str:
    """host:port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def quoted(text: str) -> str:
    """As Go's %q writes plain text."""
    return json.dumps(text, ensure_ascii=False)


def seconds(amount: float) -> str:
    """As Go's time.Duration prints whole seconds below a minute."""
    return f"{amount:g}s"


def cut(data: bytes) -> str:
    return data[:MAX_OUTPUT].decode("utf-8", "replace")
