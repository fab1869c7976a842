"""`up`: start the node in the background and return when it is ready."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from polong.cli import network
from polong.cli.errors import Failure
from polong.cli.escape import block
from polong.cli.flags import command, root_option
from polong.cli.node import DEFAULT_PORT, NodeDir, Settings, require_root

_READY = 60.0
_TAIL = 8
_LOG_LIMIT = 10 << 20

# What a child of ours may know of the environment: how to find programs, the way to registries, and our own switches.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONPATH", "VIRTUAL_ENV")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")

_EXAMPLES = """
polong up
polong up --root /tmp/node2 --port 6444 --runtime runc
"""


def node_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a node is told at its start, by `up` and by `serve`."""
    for option in (
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            metavar="N",
            help=f"Port of the API on 127.0.0.1 (default {DEFAULT_PORT}; 0: any free one).",
        ),
        click.option("--runtime", metavar="crun|runc|PATH", help="OCI runtime (default crun)."),
        click.option(
            "--config",
            metavar="FILE",
            help="A KubeletConfiguration of Kubernetes: limits of logs, images, Pods, eviction; static Pods (remembered; '' forgets it).",
        ),
        click.option("--pod-cidr", metavar="CIDR", help="Network of the Pods (default: a free /24 of 10.244.0.0/16)."),
    ):
        function = option(function)
    return root_option(function)


@command("up", help="Start the node in the background; returns when it is ready.", examples=_EXAMPLES)
@node_options
def up(root: str | None, port: int | None, runtime: str | None, pod_cidr: str | None, config: str | None) -> None:
    require_root()
    node = NodeDir(root)
    if (pid := node.pid()) is not None:
        _already(node, pid, Settings(port or 0, runtime or "", pod_cidr or "", _absolute(config or "")))
        return
    settings = prepare(node, port, runtime, pod_cidr, config)
    start(node)
    if missing := network.missing_plugins():
        mend = "install containernetworking-plugins"
        click.echo(f"Warning: CNI plugins not found: {', '.join(missing)}; Pods without hostNetwork cannot start: {mend}", err=True)
    click.echo(f"The node is ready: https://127.0.0.1:{settings.port}, state in {node.root}, log in {node.log}.")
    hint = node.describe()
    click.echo(f"\n  export KUBECONFIG={node.kubeconfig}\n  kubectl apply -f pod.yaml     (or: polong apply{hint} -f pod.yaml)")
    click.echo(f"  polong ps{hint} POD\n  polong down{hint}")


def _already(node: NodeDir, pid: int, wanted: Settings) -> None:
    """What is asked for must be what runs: a flag is not ignored."""
    settings = node.settings()
    for flag, asked, runs in (
        ("port", wanted.port, settings.port),
        ("runtime", wanted.runtime, settings.runtime),
        ("pod-cidr", wanted.pod_cidr, settings.pod_cidr),
        ("config", wanted.config, settings.config),
    ):
        if asked and asked != runs:
            shown = f"with --{flag} {runs}" if runs else f"without --{flag}"
            raise Failure(f"the node of {node.root} already runs {shown} (pid {pid}): `polong down{node.describe()}` first")
    click.echo(f"The node of {node.root} already runs (pid {pid}): https://127.0.0.1:{settings.port}")


def prepare(node: NodeDir, port: int | None, runtime: str | None, pod_cidr: str | None, config: str | None = None) -> Settings:
    """Check what can be checked before anything starts, and remember the settings. Failure names what is wrong and how to mend it."""
    _check_root(node)
    before = node.settings()
    chosen = runtime or before.runtime
    network.find_program(
        chosen,
        "OCI runtime",
        f"install {chosen if '/' not in chosen else 'it'} (Debian: apt install crun), or choose another with --runtime",
    )
    network.find_program("conmon", "container monitor", "install it (Debian: apt install conmon)")
    settings = Settings(
        _port(before.port if port is None else port), chosen, network.choose(node, pod_cidr, before.pod_cidr), _config(config, before)
    )
    _make_root(node)
    node.remember(settings)
    return settings


def _config(wanted: str | None, before: Settings) -> str:
    """Its path; what it says is checked by the node."""
    chosen = before.config if wanted is None else _absolute(wanted)
    if chosen and not Path(chosen).is_file():
        raise Failure(f"cannot read the configuration {chosen}: there is no such file; give another with --config, or '' for none")
    return chosen


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def _check_root(node: NodeDir) -> None:
    if node.root.exists() and not node.root.is_dir():
        raise Failure(f"cannot use {node.root} as state directory: it is not a directory; choose another with --root")


def _make_root(node: NodeDir) -> None:
    try:
        node.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        node.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot make the state directory {node.root}: {error.strerror}") from error


def _port(wanted: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise Failure(f"port {wanted} on 127.0.0.1 is in use: choose another with --port, or --port 0 for any free one") from error
        return int(probe.getsockname()[1])


def start(node: NodeDir) -> None:
    """Spawn `polong serve` and wait for its word. Failure carries its own last words."""
    _rotate(node.log)
    reading, writing = os.pipe()
    try:
        with node.log.open("ab") as log:
            node.log.chmod(0o600)
            child = subprocess.Popen(
                [sys.executable, "-m", "polong", "serve", "--root", str(node.root.resolve()), "--ready-fd", str(writing)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )
        os.close(writing)
        writing = -1
        _await(node, child, reading)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _rotate(log: Path) -> None:
    """Keep one older log, so that neither grows for ever over restarts."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_name(log.name + ".1"))


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key in _ENVIRONMENT or key.lower() in _PROXIES or key.startswith("POLONG_")}


def _await(node: NodeDir, child: subprocess.Popen[bytes], reading: int) -> None:
    deadline = time.monotonic() + _READY
    said = b""
    while not said.endswith(b"\n"):
        if not select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            child.terminate()
            raise Failure(f"the node was not ready within {_READY:.0f} s; its log is {node.log}")
        piece = os.read(reading, 65536)
        if not piece:
            break
        said += piece
    if said.strip() == b"ready":
        # The node outlives this command: nobody waits for it here, and it is not ours to reap.
        child.returncode = 0
        return
    child.wait(10)
    words = said.decode(errors="replace").strip()
    raise Failure(words or f"the node ended while starting; its log {node.log} ends with:\n{tail(node.log)}")


def tail(path: Path) -> str:
    try:
        return block("\n".join(path.read_text(errors="replace").splitlines()[-_TAIL:]))
    except OSError:
        return ""
