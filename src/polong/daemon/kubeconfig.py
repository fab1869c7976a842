"""The node's kubeconfig: credentials inside, so that one file of mode 0600 is all that a client needs."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from polong.daemon.pki import Credentials, write_private


def render(url: str, credentials: Credentials, name: str = "polong") -> bytes:
    """JSON, which is YAML; kubectl reads both."""

    def inline(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    cluster = {"server": url, "certificate-authority-data": inline(credentials.ca)}
    user = {"client-certificate-data": inline(credentials.admin_cert), "client-key-data": inline(credentials.admin_key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": f"{name}-admin", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin"}}],
        "current-context": name,
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def write(path: Path, url: str, credentials: Credentials, name: str = "polong") -> None:
    """Only where it says something else than before, so that its time tells when credentials changed."""
    data = render(url, credentials, name)
    if not path.exists() or path.read_bytes() != data or path.stat().st_mode & 0o777 != 0o600:
        write_private(path, data)
