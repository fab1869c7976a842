"""kubectl's own end-to-end behaviours, with the newest kubectl that is here."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.conformance.cluster import Cluster
from tests.e2e.cluster import Client, CommandFailed, Node, any_kubectl, busybox, eventually, pod


@pytest.fixture(scope="module")
def kubectl(node: Node) -> Client:
    program = any_kubectl()
    if program is None:
        pytest.skip("kubectl is not installed")
    return node.client(program)


@pytest.fixture(scope="module")
def web(cluster: Cluster) -> str:
    script = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); done; exec sleep 1000"
    made = pod("web", busybox("app", script))
    made["metadata"]["labels"] = {"app": "web"}
    cluster.run(made)
    return "web"


@pytest.mark.behaviour("kubectl/api-versions", "kubectl/version")
def test_what_the_api_is(kubectl: Client) -> None:
    assert {"v1", "events.k8s.io/v1", "polong.dev/v1alpha1"} <= set(kubectl("api-versions").split())
    versions = json.loads(kubectl("version", "-o", "json"))
    assert versions["clientVersion"]["major"] == versions["serverVersion"]["major"] == "1"


@pytest.mark.behaviour("kubectl/describe")
def test_describe(kubectl: Client, cluster: Cluster, web: str) -> None:
    told = kubectl("describe", "pod", web, "-n", cluster.namespace)
    for part in (rf"Namespace: +{cluster.namespace}", "Container ID:", r"Ready: +True", "Events:"):
        assert re.search(part, told), part
    assert f"Name:         {cluster.namespace}" in kubectl("describe", "namespace", cluster.namespace)
    (name,) = kubectl("get", "nodes", "-o", "name").split()
    told = kubectl("describe", name)
    for part in ("Capacity:", "Allocatable:", "Non-terminated Pods:", "Allocated resources:", "System Info:"):
        assert part in told


@pytest.mark.behaviour("kubectl/diff", "kubectl/dry-run")
def test_diff_and_dry_run_change_nothing(kubectl: Client, cluster: Cluster, web: str, tmp_path: Path) -> None:
    changed = pod(web, busybox("app", "true"))
    changed["metadata"]["labels"] = {"app": "changed"}
    changed["spec"] = {"containers": [{"name": "app", "image": "nginx"}]}
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(changed))
    done = kubectl.try_("diff", "-n", cluster.namespace, "-f", str(file))
    assert done.returncode == 1, done.stderr
    assert "+    app: changed" in done.stdout
    assert "-    image: busybox:1.28" in done.stdout
    assert "(server dry run)" in kubectl("apply", "-n", cluster.namespace, "--dry-run=server", "-f", str(file))
    stored = cluster.pod(web)
    assert stored["metadata"]["labels"] == {"app": "web"}
    assert stored["spec"]["containers"][0]["image"] == "busybox:1.28"


@pytest.mark.behaviour("kubectl/label", "kubectl/patch", "kubectl/replace")
def test_changes(kubectl: Client, cluster: Cluster, web: str) -> None:
    inside = ("-n", cluster.namespace)
    kubectl("label", *inside, "pod", web, "stage=test")
    assert web in kubectl("get", *inside, "pods", "-l", "stage=test", "-o", "name")
    kubectl("label", *inside, "pod", web, "stage-")
    assert "stage" not in cluster.pod(web)["metadata"]["labels"]
    kubectl("patch", *inside, "pod", web, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert cluster.pod(web)["metadata"]["annotations"]["x"] == "y"
    held = cluster.pod(web)
    held["metadata"]["annotations"]["x"] = "z"
    kubectl("replace", *inside, "-f", "-", stdin=json.dumps(held))
    assert cluster.pod(web)["metadata"]["annotations"]["x"] == "z"


@pytest.mark.behaviour("kubectl/run")
def test_run(kubectl: Client, cluster: Cluster) -> None:
    kubectl(
        "run",
        "ran",
        "-n",
        cluster.namespace,
        "--image=busybox:1.28",
        "--image-pull-policy=IfNotPresent",
        "--restart=Never",
        "--",
        "echo",
        "hi",
    )
    cluster.phase("ran", "Succeeded")
    assert cluster.logs("ran") == "hi\n"


@pytest.mark.behaviour("kubectl/logs")
def test_logs(kubectl: Client, cluster: Cluster, web: str) -> None:
    def logs(*words: str) -> str:
        return kubectl("logs", "-n", cluster.namespace, web, *words)

    eventually(lambda: "line 19" in logs(), "all lines")
    assert logs("--tail=2") == "line 18\nline 19\n"
    assert logs("--limit-bytes=6") == "line 0"
    first = logs("--timestamps", "--tail=1").split()
    assert first[0].startswith("20")
    assert first[0].endswith("Z")
    time.sleep(1.1)
    assert logs("--since=1s") == ""
    assert len(logs("--since=1h").splitlines()) == 20
    with pytest.raises(CommandFailed, match="container nobody is not valid for pod web"):
        logs("-c", "nobody")


@pytest.fixture
def proxied(kubectl: Client, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    command = [str(kubectl.program), "proxy", *request.param]
    with subprocess.Popen(command, env=kubectl.env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.behaviour("kubectl/proxy")
@pytest.mark.parametrize("proxied", [["--port=0"]], indirect=True)
def test_proxy_on_any_port(proxied: subprocess.Popen[str]) -> None:
    assert proxied.stdout is not None
    address = proxied.stdout.readline().rsplit(None, 1)[-1]
    with urllib.request.urlopen(f"http://{address}/api/", timeout=20) as answer:
        assert json.load(answer)["versions"] == ["v1"]


@pytest.mark.behaviour("kubectl/proxy")
def test_proxy_on_a_unix_socket(kubectl: Client, tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    with subprocess.Popen([str(kubectl.program), "proxy", f"--unix-socket={path}"], env=kubectl.env, stdout=subprocess.DEVNULL) as process:
        try:
            eventually(path.exists, "the socket")
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
                client.settimeout(20)
                client.connect(str(path))
                client.sendall(b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["versions"] == ["v1"]
        finally:
            process.terminate()
