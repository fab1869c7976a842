"""`serve`: the node in the foreground, for systemd and for `up`. Its wiring and that of `cri` have no other importer."""

from __future__ import annotations

from pathlib import Path

import click

from polong.cli.errors import Failure
from polong.cli.flags import command
from polong.cli.node import NodeDir, Settings, require_root
from polong.cli.teller import Teller
from polong.cli.up import node_options, prepare

LOG_LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)

_EXAMPLES = """
polong serve
polong serve --root /srv/polong --port 6444
"""


@command("serve", help="Run the node in the foreground (for systemd).", examples=_EXAMPLES)
@node_options
@click.option("--ready-fd", type=int, hidden=True)
@click.option("--log-level", default="INFO", type=LOG_LEVELS, help="How much to log.")
def serve(
    root: str | None,
    port: int | None,
    runtime: str | None,
    pod_cidr: str | None,
    config: str | None,
    ready_fd: int | None,
    log_level: str,
) -> int:
    with Teller(ready_fd) as teller:
        require_root()
        node = NodeDir(root)
        if (pid := node.pid()) is not None:
            raise Failure(f"another engine already runs on {node.root} (pid {pid})")
        settings = prepare(node, port, runtime, pod_cidr, config)
        return _run(node, settings, teller, log_level.upper())


def _run(node: NodeDir, settings: Settings, teller: Teller, level: str) -> int:
    from polong.daemon import lifecycle
    from polong.daemon.config import Config, node_name
    from polong.kit import logs

    logs.configure(level)
    config = Config(
        root=node.root.resolve(),
        lock=node.lock,
        kubeconfig=node.kubeconfig,
        port=settings.port,
        runtime=settings.runtime,
        pod_cidr=settings.pod_cidr,
        kubelet_config=Path(settings.config) if settings.config else None,
        node_name=node_name(),
    )
    lifecycle.run(config, teller.ready)
    return 0
