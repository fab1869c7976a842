"""`cri`: the container runtime alone, for crictl, critest or a real kubelet."""

from __future__ import annotations

from pathlib import Path

import click

from polong.cli.errors import Failure
from polong.cli.flags import command
from polong.cli.node import NodeDir, require_root
from polong.cli.serve import LOG_LEVELS
from polong.cli.teller import Teller
from polong.cli.up import prepare

_ROOT = "/var/lib/polong-cri"
_LISTEN = "unix:///run/polong/cri.sock"

_EXAMPLES = """
polong cri
polong cri --listen unix:///run/polong/cri.sock --root /srv/polong-cri
crictl --runtime-endpoint unix:///run/polong/cri.sock pods
"""


@command("cri", help="Serve the container runtime alone: CRI v1 over gRPC, for crictl or a kubelet.", examples=_EXAMPLES)
@click.option("--listen", default=_LISTEN, show_default=True, metavar="unix:///PATH", help="The socket to serve at.")
@click.option("--root", default=_ROOT, show_default=True, metavar="DIR", help="State directory; never that of a node.")
@click.option(
    "--registry-config", metavar="DIR", help="Mirrors and authorities of registries: DIR/HOST[:PORT]/hosts.toml, as containerd reads them."
)
@click.option("--nri", metavar="unix:///PATH", help="A socket for NRI plugins, which may watch and refuse (default: none).")
@click.option("--runtime", metavar="crun|runc|PATH", help="OCI runtime (default crun).")
@click.option("--pod-cidr", metavar="CIDR", help="Network of the Pods (default: a free /24 of 10.244.0.0/16).")
@click.option("--ready-fd", type=int, hidden=True)
@click.option("--log-level", default="INFO", type=LOG_LEVELS, help="How much to log.")
def cri(
    listen: str,
    root: str,
    registry_config: str | None,
    nri: str | None,
    runtime: str | None,
    pod_cidr: str | None,
    ready_fd: int | None,
    log_level: str,
) -> int:
    with Teller(ready_fd) as teller:
        require_root()
        path = socket_path(listen)
        optional: dict[str, Path] = {}
        if registry_config is not None:
            optional["registries"] = _directory(registry_config)
        if nri is not None:
            optional["nri_socket"] = socket_path(nri)
        node = NodeDir(root)
        if (pid := node.pid()) is not None:
            raise Failure(f"another engine already runs on {node.root} (pid {pid})")
        settings = prepare(node, 0, runtime, pod_cidr)
        _run(node, path, (settings.runtime, settings.pod_cidr, optional), teller, log_level.upper())
    return 0


def _run(node: NodeDir, path: Path, rest: tuple[str, str, dict[str, Path]], teller: Teller, level: str) -> None:
    from polong.daemon import cri
    from polong.daemon.config import RuntimeConfig
    from polong.kit import logs

    logs.configure(level)
    runtime, pod_cidr, optional = rest
    config = RuntimeConfig(root=node.root.resolve(), lock=node.lock, pod_cidr=pod_cidr, runtime=runtime, **optional)
    cri.run(config, path, teller.ready)


def socket_path(listen: str) -> Path:
    """Of `unix:///PATH` or a plain absolute path. Failure for anything else: CRI is never served to a network."""
    path = listen.removeprefix("unix://")
    if not path.startswith("/"):
        raise Failure(f"cannot listen at {listen!r}: it must be unix:///PATH")
    return Path(path)


def _directory(text: str) -> Path:
    path = Path(text).absolute()
    if not path.is_dir():
        raise Failure(f"cannot read registry configuration: {path} is not a directory")
    return path
