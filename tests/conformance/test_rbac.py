"""Who may do what, over the wire: roles, refusals, streams that need `create`, nobody, and what the audit log keeps of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.conformance.persons import Person, account, token
from tests.e2e.cluster import Node, busybox, eventually, pod

Json = dict[str, Any]

RBAC = "rbac.authorization.k8s.io/v1"
SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
WEBSOCKET = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    "Sec_WebSocket_Protocol": "v5.channel.k8s.io",
}  # fmt: skip
SPDY = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X_Stream_Protocol_Version": "v4.channel.k8s.io"}


def grant(cluster: Cluster, name: str, *rules: Json) -> Person:
    """An account that holds `rules`, and its token."""
    account(cluster, name)
    role = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": name}, "rules": list(rules)}
    cluster.create(f"{RBAC}/roles", role)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}]
    binding = {"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": name}, "roleRef": reference, "subjects": subjects}
    cluster.create(f"{RBAC}/rolebindings", binding)
    return Person(cluster, token(cluster, name))


def rule(verbs: str, *resources: str, group: str = "") -> Json:
    return {"apiGroups": [group], "resources": list(resources), "verbs": verbs.split(",")}


@pytest.mark.behaviour("rbac/refusals")
def test_what_is_not_granted_is_refused(cluster: Cluster) -> None:
    reader = grant(cluster, "lister", rule("list", "pods"))
    user = f"system:serviceaccount:{cluster.namespace}:lister"
    assert reader.ask("GET", cluster.path("pods")).code == 200
    refused = reader.ask("GET", cluster.path("pods", "x"))
    assert refused.json["message"] == (
        f'pods "x" is forbidden: User "{user}" cannot get resource "pods" in API group "" in the namespace "{cluster.namespace}"'
    )
    assert refused.json["details"] == {"name": "x", "kind": "pods"}
    everywhere = reader.ask("GET", "/api/v1/pods")
    assert everywhere.json["message"] == (
        f'pods is forbidden: User "{user}" cannot list resource "pods" in API group "" at the cluster scope'
    )
    images = reader.ask("GET", "/apis/polong.dev/v1alpha1/images")
    assert (images.code, 'in API group "polong.dev" at the cluster scope' in images.json["message"]) == (403, True)


@pytest.mark.behaviour("rbac/streams")
def test_get_is_not_enough_to_run_something(cluster: Cluster) -> None:
    """CVE of a class: a GET that upgrades runs commands."""
    cluster.run(pod("target", busybox("app", SLEEP)))
    resources = ("pods", "pods/exec", "pods/attach", "pods/portforward", "pods/log")
    getter = grant(cluster, "getter", rule("get", *resources), rule("get", "pods/files", "pods/processes", group="polong.dev"))
    for method, headers in (("GET", WEBSOCKET), ("POST", SPDY), ("GET", SPDY)):
        for what, query in (("exec", "command=id&stdout=1"), ("attach", "stdout=1"), ("portforward", "ports=80")):
            answer = getter.ask(method, f"{cluster.path('pods', 'target', what)}?{query}", **headers)
            assert (answer.code, f'cannot create resource "pods/{what}"' in answer.json["message"]) == (403, True), answer
    own = cluster.path("polong.dev/v1alpha1/pods", "target")
    assert getter.ask("GET", f"{own}/files?path=/etc/passwd").code == 403
    assert getter.ask("GET", f"{own}/processes").code == 200
    assert getter.ask("GET", cluster.path("pods", "target", "log")).code == 200
    runner = grant(cluster, "runner", rule("create", "pods/exec"))
    answer = runner.ask("POST", f"{cluster.path('pods', 'target', 'exec')}?command=id&stdout=1")
    assert (answer.code, answer.json["message"]) == (400, "Upgrade request required")


@pytest.mark.behaviour("rbac/anonymous")
def test_nobody_gets_health_and_version(cluster: Cluster) -> None:
    nobody = Person(cluster)
    assert [nobody.ask("GET", path).code for path in ("/healthz", "/livez", "/readyz", "/version")] == [200] * 4
    for path in ("/api", "/apis", "/openapi/v3", "/metrics", cluster.path("pods"), "/apis/polong.dev/v1alpha1/images"):
        answer = nobody.ask("GET", path)
        assert (answer.code, answer.json["reason"]) == (401, "Unauthorized")
    assert Person(cluster, "a.b.c").ask("GET", "/api").code == 401


@pytest.mark.behaviour("rbac/escalation")
def test_nobody_gives_what_he_does_not_hold(cluster: Cluster) -> None:
    writer = grant(
        cluster, "writer", rule("create,update", "roles", "rolebindings", group="rbac.authorization.k8s.io"), rule("get", "pods")
    )
    roles = cluster.path(f"{RBAC}/roles")
    wanted = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "mine"}, "rules": [rule("get", "pods")]}
    assert writer.ask("POST", roles, wanted).code == 201
    more = {**wanted, "metadata": {"name": "more"}, "rules": [rule("get", "pods", "secrets")]}
    answer = writer.ask("POST", roles, more)
    assert answer.code == 403
    expected = 'is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    assert expected in answer.json["message"]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "b"}, "roleRef": reference}
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "writer", "namespace": cluster.namespace}]
    assert writer.ask("POST", cluster.path(f"{RBAC}/rolebindings"), binding).code == 403


@pytest.mark.behaviour("rbac/audit")
def test_the_audit_log_tells_who_did_what_and_no_secrets(cluster: Cluster, node: Node) -> None:
    cluster.run(pod("audited", busybox("app", SLEEP)))
    cluster.create("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hunter2-body"}})
    cluster.exec("audited", "app", "echo", "hunter2-command")
    with pytest.raises(Refused):
        cluster.get("pods", "not-there")
    path = node.root / "logs" / "audit.log"

    def found() -> list[Json]:
        events = [json.loads(line) for line in path.read_text().splitlines()]
        return [each for each in events if (each.get("objectRef") or {}).get("namespace") == cluster.namespace]

    def told() -> bool:
        seen = {(each["verb"], each["objectRef"]["resource"], each["objectRef"].get("subresource", "")) for each in found()}
        return {("create", "secrets", ""), ("create", "pods", ""), ("get", "pods", "exec")} <= seen and any(
            "audited" in each["requestURI"] for each in found()
        )

    eventually(told, "the audit log tells of it")
    started = next(each for each in found() if each["objectRef"].get("subresource") == "exec" and each["objectRef"]["name"] == "audited")
    assert (started["user"]["username"], started["responseStatus"]["code"]) == ("polong-admin", 101)
    for file in (path, node.root / "logs" / "node.log"):
        assert "hunter2" not in file.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
