"""What exec, attach and port-forward ask for: the query, validated against the Pod, before any upgrade. Pure.

Texts after pkg/registry/core/pod/strategy.go (validateContainer) and pkg/apis/core/validation (options).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from polong.kit.errors import BadRequest
from polong.objects import pod as pods
from polong.streaming.wanted import Wanted

Json = dict[str, Any]

STREAMS = frozenset({"exec", "attach", "portforward"})


@dataclass(frozen=True)
class StreamTarget:
    """An authorised session: which Pod, container and command, and which of the standard streams the client wants."""

    kind: str
    pod: Json
    container: str = ""
    command: tuple[str, ...] = ()
    wanted: Wanted = field(default_factory=Wanted)
    ports: tuple[int, ...] = ()


def choose_container(pod: Json, wanted: str) -> str:
    """The container that a request means. BadRequest where it must be named, or is not in the Pod."""
    name = pods.name(pod)
    if not wanted:
        names = [str(container["name"]) for container in pods.containers(pod)]
        if len(names) == 1:
            return names[0]
        choices = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        initial = [str(container["name"]) for container in pods.spec(pod).get("initContainers") or ()]
        if initial:
            choices += f" or one of the init containers: [{' '.join(initial)}]"
        raise BadRequest(choices)
    if pods.find_container(pod, wanted) is None:
        raise BadRequest(f"container {wanted} is not valid for pod {name}")
    return wanted


def stream_target(kind: str, pod: Json, query: Sequence[tuple[str, str]]) -> StreamTarget:
    """The session that `query` (core/v1 PodExecOptions, PodAttachOptions, PodPortForwardOptions) asks for. BadRequest."""
    if kind == "portforward":
        return StreamTarget(kind, pod, ports=_ports(query))
    options = dict(reversed(list(query)))
    command = tuple(value for name, value in query if name == "command")
    if kind == "exec" and not command:
        raise BadRequest("you must specify at least one command for the container")
    wanted = Wanted.from_query(options)
    container = choose_container(pod, options.get("container", ""))
    return StreamTarget(kind, pod, container, command if kind == "exec" else (), wanted)


def _ports(query: Sequence[tuple[str, str]]) -> tuple[int, ...]:
    ports = []
    for text in (part for name, value in query if name == "ports" for part in value.split(",")):
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
            raise BadRequest(f'unable to parse "{text}" as a port number between 1 and 65535')
        ports.append(int(text))
    return tuple(ports)
