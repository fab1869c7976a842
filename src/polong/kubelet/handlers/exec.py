"""A command in the container, through CRI's ExecSync. A child that it leaves behind is not waited for: the runtime sees to that.

`Commands` knows which commands of ours run where, so that the process tools can tell a probe from somebody's exec.

Source: kubelet pkg/probe/exec, prober.go (newExecInContainer); CRI ExecSync.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from polong.criapi.wire import v1
from polong.kit.errors import DeadlineExceeded, PolongError
from polong.kubelet.handlers.target import MAX_OUTPUT, Answer, Result, cut, quoted, seconds
from polong.kubelet.ports import RuntimeService

Role = Literal["probe", "hook"]
Key = tuple[tuple[str, ...], Role]

# The runtime keeps the time; where it is stuck itself, a probe must not be.
_SLACK = 10.0


class Commands:
    """What runs now on the kubelet's behalf, by container id."""

    def __init__(self) -> None:
        self._running: dict[str, Counter[Key]] = {}

    @contextmanager
    def running(self, container_id: str, command: Sequence[str], role: Role) -> Iterator[None]:
        key: Key = (tuple(command), role)
        held: Counter[Key] = self._running.setdefault(container_id, Counter())
        held[key] += 1
        try:
            yield
        finally:
            held[key] -= 1
            if not held[key]:
                del held[key]
            if not held:
                self._running.pop(container_id, None)

    def role(self, container_id: str, command: Sequence[str]) -> Role | None:
        """Whose that command is; None: none of ours. One that is both is called a probe."""
        held: Counter[Key] = self._running.get(container_id) or Counter()
        roles: tuple[Role, ...] = ("probe", "hook")
        return next((each for each in roles if (tuple(command), each) in held), None)


class Exec:
    """Runs commands; `commands` is what others may look at."""

    def __init__(self, runtime: RuntimeService) -> None:
        self._runtime = runtime
        self.commands = Commands()

    async def run(self, container_id: str, command: Sequence[str], role: Role, timeout: int = 0) -> tuple[int, str]:
        """Exit code and output, both streams, cut. `timeout` in seconds, 0 for none; DeadlineExceeded kills the command. Other errors
        are those of ExecSync: the command could not be started."""
        request = v1.ExecSyncRequest(container_id=container_id, cmd=list(command), timeout=timeout)
        with self.commands.running(container_id, command, role):
            async with asyncio.timeout(timeout + _SLACK if timeout else None):
                answer = await self._runtime.exec_sync(request)
        return answer.exit_code, cut(answer.stdout[:MAX_OUTPUT] + answer.stderr[:MAX_OUTPUT])

    async def probe(self, container_id: str, command: Sequence[str], timeout: int) -> Answer:
        try:
            code, output = await self.run(container_id, command, "probe", timeout)
        except (DeadlineExceeded, TimeoutError):
            words = quoted(" ".join(command))
            return Answer(Result.FAILURE, f"command timed out: {words} timed out after {seconds(timeout)}")
        except (PolongError, OSError) as error:
            return Answer(Result.UNKNOWN, str(error))
        return Answer(Result.FAILURE if code else Result.SUCCESS, output)
