"""The node's certificates: an authority of its own, a serving certificate for loopback names, a client certificate for the admin.

Files of mode 0600 under `<root>/pki`, reused from one start to the next, renewed when less than a third of their life is left.
`cryptography` is imported only to look at dates and to issue: 14 MiB that an idle daemon need not carry are left to a child process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from polong.kit.errors import Internal

_DEADLINE = 30


@dataclass(frozen=True)
class Credentials:
    """Paths of PEM files."""

    ca: Path
    server_cert: Path
    server_key: Path
    admin_cert: Path
    admin_key: Path
    token_key: Path


def ensure(directory: Path, hosts: tuple[str, ...]) -> Credentials:
    """Certificates that are valid for `hosts`, issued where they are missing, stale or for other names. Blocks; run it in a thread."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "polong.daemon.issue", str(directory), *hosts]
    try:
        # The one spawn outside polong.linux.process: before the event loop, no terminal, no descriptors, bounded.
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DEADLINE, start_new_session=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Internal(f"cannot issue certificates in {directory}: it took more than {_DEADLINE} s") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Internal(f"cannot issue certificates in {directory}: {reason}")
    return Credentials(*(directory / name for name in ("ca.crt", "server.crt", "server.key", "admin.crt", "admin.key", "sa.key")))


_SERVICE = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


def serving_hosts(gateway: str = "") -> tuple[str, ...]:
    """Names and addresses under which this node may be asked; `gateway` is the address at which its Pods ask."""
    own = ("localhost", "127.0.0.1", "::1", socket.gethostname(), *_SERVICE)
    return tuple(dict.fromkeys((*own, gateway) if gateway else own))


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by a file of mode 0600, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(path)
