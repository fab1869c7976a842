"""What a node is made of, decided once: every path and every host-wide name comes from here and goes down by parameter."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path

_RUN = Path("/run/polong")
# RFC 1918, as kubeadm chooses; where the Pods are there themselves RFC 6598.
_SERVICE_POOLS = (ipaddress.IPv4Network("10.96.0.0/12"), ipaddress.IPv4Network("100.64.0.0/12"))
_REGISTRIES = Path("/etc/containers/certs.d")


def node_id(root: Path) -> str:
    """Eight hex digits that name a node on its host: every bridge, table, cgroup and run directory carries them."""
    return hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]


def node_name(hostname: str = "") -> str:
    """The host's name as a Node's: lower case, RFC 1123."""
    name = re.sub(r"[^a-z0-9.-]+", "-", (hostname or socket.gethostname()).lower()).strip("-.")
    return name[:253] or "node"


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """What the runtime alone needs (`polong cri`). `root` keeps what must live through a reboot, `run_dir` what must not; `runtime` is
    crun, runc or a path; `registries` is a directory in containerd's `hosts.toml` layout. `lock` lies in `root`.
    """

    root: Path
    lock: Path
    pod_cidr: str
    runtime: str = "crun"
    registries: Path = _REGISTRIES
    nri_socket: Path | None = None
    run_parent: Path = _RUN

    @property
    def node_id(self) -> str:
        return node_id(self.root)

    @property
    def run_dir(self) -> Path:
        return self.run_parent / self.node_id

    @property
    def mapped_roots(self) -> Path:
        """Root file systems of Pods with users of their own: the one place that these users can reach by path."""
        return self.run_parent.with_name(f"{self.run_parent.name}-users") / self.node_id

    @property
    def images_dir(self) -> Path:
        return self.root / "images"

    @property
    def containers_dir(self) -> Path:
        """CRI records and bundles: containers outlive the daemon, so does what describes them."""
        return self.root / "cri"

    @property
    def gateway(self) -> str:
        """The node's address in the Pod network: its first. Empty where the range is none, which whoever sets the network up says."""
        try:
            return str(ipaddress.IPv4Network(self.pod_cidr)[1])
        except (ValueError, IndexError):
            return ""

    @property
    def cgroup_parent(self) -> str:
        return f"/polong/{self.node_id}"


@dataclass(frozen=True, kw_only=True)
class Config(RuntimeConfig):
    """A whole node. `port` is never 0; `kubeconfig` lies in `root` and is also known to the command line;
    `kubelet_config` is a KubeletConfiguration."""

    kubeconfig: Path
    port: int
    node_name: str = "node"
    host: str = "127.0.0.1"
    kubelet_config: Path | None = None

    @property
    def service_cidr(self) -> str:
        """Addresses of Services: the /20 of 10.96.0.0/12 with the number of the Pod network. Nodes of one host have their own."""
        pods = ipaddress.IPv4Network(self.pod_cidr)
        pool = next(each for each in _SERVICE_POOLS if not each.overlaps(pods))
        return str(ipaddress.IPv4Network((int(pool.network_address) + (pods.network_address.packed[2] << 12), 20)))

    @property
    def pki_dir(self) -> Path:
        return self.root / "pki"

    @property
    def database(self) -> Path:
        return self.root / "store" / "state.db"

    @property
    def kubelet_dir(self) -> Path:
        return self.root / "kubelet"

    @property
    def audit_log(self) -> Path:
        return self.root / "logs" / "audit.log"

    @property
    def log_dir(self) -> Path:
        return self.root / "logs" / "pods"

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"
