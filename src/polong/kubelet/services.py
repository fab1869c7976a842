"""How Pods find the API: the Service `kubernetes` of the namespace default, as variables and as names. Pure.

There is no DNS and no virtual address here: the Service's address is the Pod network's gateway, its name a line of /etc/hosts.
Source: kubelet pkg/kubelet/envvars (FromServices), makeEnvironmentVariables ("master services").
"""

from __future__ import annotations

from collections.abc import Mapping

NAMES = ("kubernetes.default.svc.cluster.local", "kubernetes.default.svc", "kubernetes.default", "kubernetes")


def variables(host: str, port: int) -> Mapping[str, str]:
    """Of the Service `kubernetes`; none where `host` is empty."""
    if not host:
        return {}
    url = f"tcp://{host}:{port}"
    name = f"KUBERNETES_PORT_{port}_TCP"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": str(port),
        "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
        "KUBERNETES_PORT": url,
        name: url,
        f"{name}_PROTO": "tcp",
        f"{name}_PORT": str(port),
        f"{name}_ADDR": host,
    }
