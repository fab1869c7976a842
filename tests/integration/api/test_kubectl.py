"""Real kubectl, each version on this machine, against the real server over TLS."""

from __future__ import annotations

import json
import re

from .conftest import Api, Kubectl

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


async def test_refusals_read_as_in_kubernetes(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=POD.replace("stdin: true", "stdln: true"), code=1)
    assert 'strict decoding error: unknown field "spec.containers[1].stdln"' in kubectl.error
    await kubectl("create", "-f", "-", stdin=POD.replace("tty: true", "tty: 5"), code=1)
    assert "cannot unmarshal number into Go struct field Container.spec.containers.tty of type bool" in kubectl.error
    await kubectl("create", "-f", "-", stdin=POD.replace("shareProcessNamespace: true", "{shareProcessNamespace: true"), code=1)
    both = POD.replace("  containers:", "  hostPID: true\n  containers:")
    await kubectl("create", "-f", "-", stdin=both, code=1)
    assert (
        'The Pod "nginx" is invalid: spec.securityContext.shareProcessNamespace: Invalid value: true: '
        "ShareProcessNamespace and HostPID cannot both be enabled"
    ) in kubectl.error
    assert await kubectl("get", "pods") == ""


async def test_the_life_of_a_pod(kubectl: Kubectl, api: Api) -> None:
    await kubectl("create", "-f", "-", stdin=POD)
    await kubectl("create", "-f", "-", stdin=POD, code=1)
    assert 'Error from server (AlreadyExists): error when creating "STDIN": pods "nginx" already exists' in kubectl.error
    assert await kubectl("label", "pod", "nginx", "a=b") == "pod/nginx labeled\n"
    assert await kubectl("get", "pods", "-l", "a=b", "-o", "name") == "pod/nginx\n"
    assert await kubectl("set", "image", "pod/nginx", "shell=busybox:1.36") == "pod/nginx image updated\n"
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await kubectl("patch", "pod", "nginx", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    assert await kubectl("wait", "pod/nginx", "--for=condition=Ready", "--timeout=10s") == "pod/nginx condition met\n"
    assert await kubectl("wait", "pod/nginx", "--for=jsonpath={.status.phase}=Running", "--timeout=10s") == "pod/nginx condition met\n"
    described = await kubectl("describe", "pod", "nginx")
    assert re.search(r"^Status: +Running$", described, re.MULTILINE)
    assert "Events:" in described
    assert await kubectl("delete", "pod", "nginx", "--wait=false") == 'pod "nginx" deleted\n'
    assert "Terminating" in await kubectl("get", "pods") or "Running" in await kubectl("get", "pods")
    assert "force deleted" in await kubectl("delete", "pod", "nginx", "--force")
    await kubectl("get", "pod", "nginx", code=1)
    assert 'Error from server (NotFound): pods "nginx" not found' in kubectl.error


async def test_logs_and_exec_and_their_refusals(kubectl: Kubectl, api: Api) -> None:
    await kubectl("create", "-f", "-", stdin=POD)
    assert await kubectl("logs", "nginx", "-c", "shell", "--tail=3") == "hello from shell tail=3\n"
    assert await kubectl("exec", "nginx", "-c", "shell", "--", "ls", "-l") == "ls -l in shell\n"
    await kubectl("exec", "nginx", "-c", "shell", "--", "false", code=7)
    await kubectl("exec", "nginx", "-c", "nope", "--", "ls", code=1)
    assert "container nope is not valid for pod nginx" in kubectl.error or "container not found" in kubectl.error
    api.node.logs_started = False
    await kubectl("logs", "nginx", "-c", "shell", code=1)
    assert "is waiting to start: ContainerCreating" in kubectl.error


async def test_events_namespaces_and_what_there_is(kubectl: Kubectl) -> None:
    assert await kubectl("create", "namespace", "other") == "namespace/other created\n"
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "other"},
        "involvedObject": {"kind": "Pod", "name": "x", "namespace": "other"},
        "reason": "Pulled",
        "message": "it is here",
        "lastTimestamp": "2026-01-02T03:04:05Z",
    }
    await kubectl("create", "-f", "-", stdin=json.dumps(event))
    assert "it is here" in await kubectl("get", "events", "-n", "other")
    assert "it is here" in await kubectl("events", "-n", "other")
    resources = await kubectl("api-resources", "--no-headers")
    assert {"pods", "nodes", "namespaces", "events"} <= {line.split()[0] for line in resources.splitlines()}
    assert "Share a single process namespace" in await kubectl("explain", "pod.spec.shareProcessNamespace")
    assert "polong" in await kubectl("version")
    assert await kubectl("delete", "namespace", "other") == 'namespace "other" deleted\n'
    assert "other" not in await kubectl("get", "namespaces")


async def test_warnings_are_printed(kubectl: Kubectl) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    spec = {"containers": [{"name": "c", "image": "i", "env": env}], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}
    given = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd"}, "spec": spec}
    assert await kubectl("create", "-f", "-", stdin=json.dumps(given)) == "pod/odd created\n"
    assert kubectl.error.splitlines() == [
        'Warning: spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        'Warning: spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ]
