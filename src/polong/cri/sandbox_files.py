"""The files that all containers of a sandbox see: hostname, resolv.conf, /dev/shm. Texts are built pure; lines cannot be smuggled in."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from polong.cri.kernel import Kernel
from polong.cri.spec import SandboxFiles
from polong.criapi.wire import v1
from polong.kit.errors import Invalid

_SHM_SIZE = 64 << 20
_HOST_RESOLV_CONF = Path("/etc/resolv.conf")
_MOST_RESOLV_CONF = 64 * 1024


def paths(directory: Path, options: v1.NamespaceOption) -> SandboxFiles:
    """Where they lie. With the host's IPC there is no /dev/shm of the Pod's own."""
    shm = "" if options.ipc == v1.NODE else str(directory / "shm")
    return SandboxFiles(str(directory / "hostname"), str(directory / "resolv.conf"), shm)


def user_namespace(directory: Path) -> Path:
    """Where the Pod's own one is pinned, if it has one."""
    return directory / "userns"


def make(kernel: Kernel, directory: Path, config: v1.PodSandboxConfig) -> None:
    """Write the files and mount the shm. `directory` exists."""
    files = paths(directory, config.linux.security_context.namespace_options)
    hostname = single_line(config.hostname or socket.gethostname(), "hostname")
    Path(files.hostname).write_text(f"{hostname}\n", encoding="utf-8")
    Path(files.resolv_conf).write_text(_resolv_conf(config), encoding="utf-8")
    for name in (files.hostname, files.resolv_conf):
        Path(name).chmod(0o644)
    if files.shm:
        Path(files.shm).mkdir(mode=0o1777, exist_ok=True)
        kernel.mount_shm(Path(files.shm), _SHM_SIZE)


def unmake(kernel: Kernel, directory: Path) -> None:
    """Unmount the shm and let the user namespace go: the rest goes with the directory. Idempotent."""
    kernel.unmount(directory / "shm")
    kernel.unmount(user_namespace(directory))


def _resolv_conf(config: v1.PodSandboxConfig) -> str:
    if config.HasField("dns_config") and (config.dns_config.servers or config.dns_config.searches or config.dns_config.options):
        return resolv_conf(config.dns_config)
    try:
        return _HOST_RESOLV_CONF.read_bytes()[:_MOST_RESOLV_CONF].decode("utf-8", "replace")
    except OSError:
        return ""


def resolv_conf(dns: v1.DNSConfig) -> str:
    """resolv.conf(5) from CRI's DNSConfig."""
    lines = []
    if dns.searches:
        lines.append(f"search {_words(dns.searches, 'DNS search domain')}")
    lines += [f"nameserver {_words([server], 'DNS server')}" for server in dns.servers]
    if dns.options:
        lines.append(f"options {_words(dns.options, 'DNS option')}")
    return "".join(f"{line}\n" for line in lines)


def _words(values: Iterable[str], what: str) -> str:
    checked = [single_line(value, what) for value in values]
    for value in checked:
        if not value or " " in value:
            raise Invalid(f"{what} {value!r} is empty or contains a space")
    return " ".join(checked)


def single_line(value: str, what: str) -> str:
    """Invalid where `value` holds anything but printable characters (CVE-2022-4318: one more line is one more setting)."""
    if not value.isprintable():
        raise Invalid(f"{what} contains a line break or a control character")
    return value
