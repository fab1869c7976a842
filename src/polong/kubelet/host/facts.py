"""What this machine is: capacity, addresses, names. Read once; paths are injectable for tests."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path

from polong.kubelet.config import DnsConfig
from polong.linux import apparmor, proc

_CAP_SYS_RESOURCE = 24
_RESERVED_MEMORY = 100 * 1024 * 1024
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True)
class Facts:
    """`memory` and `disk` in bytes, `milli_cpu` in thousandths; `lowest_score`: no oom_score_adj below it may be set from here."""

    hostname: str
    ips: tuple[str, ...]
    milli_cpu: int
    memory: int
    disk: int
    pids: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str
    lowest_score: int
    swap: int = 0
    apparmor: bool = False

    @property
    def allocatable_memory(self) -> int:
        """Bytes: all but what the kubelet's default eviction threshold keeps free."""
        return max(self.memory - _RESERVED_MEMORY, 0)

    @property
    def allocatable_disk(self) -> int:
        """As `allocatable_memory`."""
        return self.disk * 9 // 10


def gather(disk_of: Path, node_ip: str = "", root: Path = Path("/")) -> Facts:
    memory = _meminfo(root)
    disk = os.statvfs(_existing(disk_of))
    return Facts(
        hostname=socket.gethostname(),
        ips=(node_ip,) if node_ip else _addresses(),
        milli_cpu=len(os.sched_getaffinity(0)) * 1000,
        memory=memory.get("MemTotal", 0),
        disk=disk.f_blocks * disk.f_frsize,
        pids=int(_text(root / "proc/sys/kernel/pid_max") or 32768),
        machine_id=_text(root / "etc/machine-id") or _text(root / "proc/sys/kernel/random/boot_id").replace("-", ""),
        system_uuid=_text(root / "sys/class/dmi/id/product_uuid"),
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_image(root),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        lowest_score=_lowest_score(root),
        swap=memory.get("SwapTotal", 0),
        apparmor=apparmor.enabled(root / "sys"),
    )


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _meminfo(root: Path) -> dict[str, int]:
    found = {}
    for line in _text(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            found[key] = int(words[0]) * 1024
    return found


def _os_image(root: Path) -> str:
    for line in _text(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def _lowest_score(root: Path) -> int:
    """Without CAP_SYS_RESOURCE a process may not go below the score it was started with (proc_pid_oom_score_adj(5))."""
    try:
        effective = proc.status(os.getpid(), root / "proc").cap_effective
    except (ProcessLookupError, KeyError, ValueError):
        effective = 0
    if effective >> _CAP_SYS_RESOURCE & 1:
        return -1000
    text = _text(root / f"proc/{os.getpid()}/oom_score_adj")
    return int(text) if text else 0


def _addresses() -> tuple[str, ...]:
    """The source addresses towards the rest of the world; nothing is sent. Loopback where the machine is on no network."""
    found = []
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return tuple(found) or ("127.0.0.1",)


def resolver(path: Path = Path("/etc/resolv.conf")) -> DnsConfig:
    """The host's own, for Pods with dnsPolicy Default (and ClusterFirst while there is no cluster DNS)."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in _text(path).splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = words[1:]
        elif words[0] == "options":
            options += words[1:]
    return DnsConfig(tuple(servers), tuple(searches), tuple(options))
