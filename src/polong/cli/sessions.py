"""A session with a container: the subresource, its query, our descriptors, raw mode around it all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from polong.cli import terminal
from polong.cli.api import Api
from polong.client import exec as remote
from polong.kit.stdio import Stdio
from polong.objects.gvk import PODS


async def run(api: Api, what: tuple[str, str], query: Sequence[tuple[str, str]], stdio: Stdio, *, merged: bool = False) -> int:
    """`what` is the subresource and the Pod; `merged` says that the container has a terminal, whose errors come with its output.

    The exit code of the command; 0 where there is none (attach).
    """
    if merged:
        stdio = replace(stdio, stderr=None)
    with terminal.raw(0) if stdio.tty else nullcontext():
        return await remote.run(api.transport, PODS.path(api.namespace, what[1], what[0]), query, stdio)
