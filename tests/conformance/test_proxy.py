"""pods/proxy: any method, any path, to a real server in a Pod; eviction and drain."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.conformance.persons import Person, account, token
from tests.conformance.rawapi import ask
from tests.e2e.cluster import Node, any_kubectl, busybox, nginx, pod

Json = dict[str, Any]

# Answers with the request line and the headers that it was sent.
ECHO = """
cat > /tmp/echo <<'EOF'
seen=
while read -r line; do
  line=$(echo "$line" | tr -d '\\r')
  [ -z "$line" ] && break
  seen="$seen$line|"
done
case "$seen" in *redirect*) printf 'HTTP/1.1 302 Found\\r\\nLocation: http://192.0.2.1/away\\r\\nContent-Length: 0\\r\\n\\r\\n'; exit;; esac
printf 'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n%s' "$seen"
EOF
exec nc -ll -p 8080 -e sh /tmp/echo
"""


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> str:
    probe = {"exec": {"command": ["sh", "-c", "netstat -ltn | grep -q :8080"]}, "periodSeconds": 1}
    cluster.run(pod("server", nginx("web", ports=[{"containerPort": 80}]), busybox("echo", ECHO, readinessProbe=probe)))
    return "server"


@pytest.mark.behaviour("network/proxy")
@pytest.mark.parametrize("method", ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"])
def test_every_method(cluster: Cluster, server: str, method: str) -> None:
    path = cluster.path("pods", f"{server}:8080", "proxy")
    answer = ask(cluster, method, f"{path}/some/path", headers={"X-Own": "1"}, asked=method)
    assert answer.code == 200
    line, *headers = answer.text.split("|")
    assert line == f"{method} /some/path?asked={method} HTTP/1.1"
    assert "x-own: 1" in [each.lower() for each in headers]
    assert not any(each.lower().startswith("authorization") for each in headers)


def person(cluster: Cluster) -> Person:
    """Somebody who may edit the namespace, by the token of an account."""
    group = "rbac.authorization.k8s.io"
    if not cluster.list("serviceaccounts", fieldSelector="metadata.name=proxied"):
        account(cluster, "proxied")
        reference = {"apiGroup": group, "kind": "ClusterRole", "name": "edit"}
        subjects = [{"kind": "ServiceAccount", "name": "proxied", "namespace": cluster.namespace}]
        body = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": "p"}, "roleRef": reference, "subjects": subjects}
        cluster.create(f"{group}/v1/rolebindings", body)
    return Person(cluster, token(cluster, "proxied"))


@pytest.mark.behaviour("network/proxy")
def test_ports_slashes_and_redirects(cluster: Cluster, server: str) -> None:
    assert "Welcome to nginx" in ask(cluster, "GET", cluster.path("pods", server, "proxy") + "/").text
    assert ask(cluster, "HEAD", cluster.path("pods", f"http:{server}:80", "proxy") + "/").code == 200
    assert ask(cluster, "GET", cluster.path("pods", server, "proxy") + "/absent").code == 404
    # By a client that does not follow: the API does not either.
    answer = person(cluster).ask("GET", cluster.path("pods", f"{server}:8080", "proxy") + "/redirect")
    assert (answer.code, answer.headers["location"]) == (302, "http://192.0.2.1/away")
    seen = person(cluster).ask("GET", cluster.path("pods", f"{server}:8080", "proxy") + "/headers").text
    assert "GET /headers" in seen
    assert "bearer" not in seen.lower()
    answer = ask(cluster, "GET", cluster.path("pods", f"{server}:81", "proxy") + "/")
    assert (answer.code, "error trying to reach service" in answer.text) == (503, True)
    assert ask(cluster, "GET", "/api/v1/nodes/x/proxy/").code == 404


@pytest.mark.behaviour("drain/eviction")
def test_an_eviction_is_a_graceful_deletion(cluster: Cluster) -> None:
    cluster.run(
        pod("evicted", busybox("app", "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done"), terminationGracePeriodSeconds=20)
    )
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted", "namespace": cluster.namespace}}
    answer = cluster.request("POST", cluster.path("pods", "evicted", "eviction"), body)
    assert answer["status"] == "Success"
    conditions = {each["type"]: each for each in cluster.pod("evicted")["status"]["conditions"]}
    assert conditions["DisruptionTarget"]["reason"] == "EvictionByEvictionAPI"
    cluster.gone("pods", "evicted", timeout=30)


@pytest.mark.behaviour("drain/kubectl")
def test_kubectl_drains_by_evictions(cluster: Cluster, node: Node) -> None:
    program = any_kubectl()
    if program is None:
        pytest.skip("no kubectl")
    kubectl = node.client(program)
    cluster.run(pod("drained", busybox("app", "trap 'exit 0' TERM; while :; do sleep 0.1; done")))
    (name,) = [each["metadata"]["name"] for each in cluster.list("nodes", namespaced=False) if each["status"].get("nodeInfo")]
    label = {"metadata": {"labels": {"drain": "me"}}}
    cluster.patch("pods", "drained", label, kind="merge")
    try:
        told = kubectl("drain", name, "--force", "--pod-selector=drain=me", "--timeout=60s", timeout=90)
    finally:
        kubectl("uncordon", name)
    assert "evicting pod" in told or "evicted" in told
    with pytest.raises(Refused):
        cluster.pod("drained")
