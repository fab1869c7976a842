"""Further processes of a running container: the same user, rights, environment and namespaces as its main process."""

from __future__ import annotations

from collections.abc import Sequence

from polong.cri.engine import Engine
from polong.cri.ports import ExecProcess
from polong.cri.table import Container
from polong.kit.errors import Invalid
from polong.kit.stdio import TerminalSize
from polong.oci import bundle
from polong.oci.spec import process as process_spec


async def start(
    engine: Engine,
    container: Container,
    command: Sequence[str],
    *,
    terminal: bool,
    stdin: bool,
    size: TerminalSize | None = None,
    passed: Sequence[int] = (),
) -> ExecProcess:
    """`passed` are open descriptors that it gets as 3, 4, …; `size` is the terminal's from its start on. FailedPrecondition
    with the runtime's own words where the command cannot be started."""
    if not command:
        raise Invalid("exec needs a command")
    config = bundle.read(engine.settings.container_dir(container.id))
    document = process_spec.for_exec(config, command, terminal=terminal, size=size)
    runtime = engine.handler(container.record.handler).runtime
    return await runtime.exec(container.id, document, stdin=stdin, cgroup=container.record.cgroup, passed=passed)
