"""A program of ours in a container, as one of its own processes, and without a file there: executed from memory (no RPC of CRI)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from polong.cri.engine import Engine
from polong.cri.rpc.exec_sync import exec_sync
from polong.criapi.wire import v1
from polong.kit.errors import Internal, Invalid
from polong.linux import fds
from polong.oci.launch import BINARIES

_PROGRAMS = frozenset({"attempt"})


async def exec_program(engine: Engine, request: v1.ExecSyncRequest, program: str, handles: Sequence[int]) -> v1.ExecSyncResponse:
    """See `criapi.ports.Programs`."""
    if program not in _PROGRAMS:
        raise Invalid(f"there is no program {program[:40]!r}")
    try:
        data = await asyncio.to_thread((BINARIES / program).read_bytes)
    except FileNotFoundError:
        raise Internal(f"the program {program} was not built: run make setup") from None
    with fds.program(program, data) as memory:
        # By /proc, which every container has; the descriptor is of memory, so that nothing can be reached through it.
        command = ["/proc/self/fd/3", *request.cmd]
        asked = v1.ExecSyncRequest(container_id=request.container_id, cmd=command, timeout=request.timeout)
        return await exec_sync(engine, asked, (memory.fileno(), *handles))
