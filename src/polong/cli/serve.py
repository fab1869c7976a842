"""`serve`: the node in the foreground, for systemd and for `up`. The only importer of the wiring."""

from __future__ import annotations

import os
import socket

import click

from polong.cli.errors import Failure, explain
from polong.cli.flags import command
from polong.cli.node import NodeDir, require_root
from polong.cli.up import node_options, prepare

_EXAMPLES = """
polong serve
polong serve --root /srv/polong --port 6444
"""


@command("serve", help="Run the node in the foreground (for systemd).", examples=_EXAMPLES)
@node_options
@click.option("--ready-fd", type=int, hidden=True)
@click.option(
    "--log-level", default="INFO", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False), help="How much to log."
)
def serve(root: str | None, port: int | None, runtime: str | None, pod_cidr: str | None, ready_fd: int | None, log_level: str) -> int:
    teller = _Teller(ready_fd)
    try:
        require_root()
        node = NodeDir(root)
        if (pid := node.pid()) is not None:
            raise Failure(f"another engine already runs on {node.root} (pid {pid})")
        settings = prepare(node, port, runtime, pod_cidr)
        return _run(node, settings.port, (settings.runtime, settings.pod_cidr), teller, log_level.upper())
    except Exception as error:
        teller.failed(error.message if isinstance(error, Failure) else explain(error).removeprefix("error: "))
        raise


def _run(node: NodeDir, port: int, rest: tuple[str, str], teller: _Teller, level: str) -> int:
    from polong.daemon import lifecycle
    from polong.daemon.config import Config, node_name
    from polong.kit import logs

    logs.configure(level)
    config = Config(
        root=node.root.resolve(),
        lock=node.lock,
        kubeconfig=node.kubeconfig,
        port=port,
        runtime=rest[0],
        pod_cidr=rest[1],
        node_name=node_name(),
    )
    lifecycle.run(config, teller.ready)
    return 0


class _Teller:
    """Tells whoever started us: one line on a descriptor, or systemd's protocol (sd_notify(3))."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def ready(self) -> None:
        self._say("ready")
        _notify("READY=1")

    def failed(self, why: str) -> None:
        self._say(why.replace("\n", " "))

    def _say(self, text: str) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.write(descriptor, text.encode() + b"\n")
        except OSError:
            pass
        finally:
            os.close(descriptor)


def _notify(text: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
