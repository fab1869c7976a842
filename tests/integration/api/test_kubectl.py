"""Real kubectl, each version on this machine, against the real server over TLS."""

from __future__ import annotations

import json

from .conftest import Kubectl

POD = """
apiVersion: v1
kind: Pod
metadata: {name: nginx, labels: {app: web}}
spec:
  shareProcessNamespace: true
  containers:
  - {name: nginx, image: nginx}
  - name: shell
    image: busybox:1.28
    securityContext: {capabilities: {add: [SYS_PTRACE]}}
    stdin: true
    tty: true
"""


async def test_apply_get_and_apply_again(kubectl: Kubectl) -> None:
    assert await kubectl("apply", "-f", "-", stdin=POD) == "pod/nginx created\n"
    table = await kubectl("get", "pods")
    assert table.splitlines()[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert table.splitlines()[1].split()[:4] == ["nginx", "0/2", "Pending", "0"]
    assert "<none>" in await kubectl("get", "pods", "-o", "wide")
    assert await kubectl("apply", "-f", "-", stdin=POD) == "pod/nginx unchanged\n"
    changed = POD.replace("image: nginx", "image: nginx:1.27").replace("app: web", "app: site")
    assert await kubectl("apply", "-f", "-", stdin=changed) == "pod/nginx configured\n"
    live = json.loads(await kubectl("get", "pod", "nginx", "-o", "json"))
    assert [container["image"] for container in live["spec"]["containers"]] == ["nginx:1.27", "busybox:1.28"]
    assert live["metadata"]["labels"] == {"app": "site"}
    assert live["metadata"]["generation"] == 2
