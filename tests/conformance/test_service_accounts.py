"""ServiceAccounts: what their Pods are given, and what their tokens are good for, over the wire and from inside of a Pod."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from tests.conformance.cluster import Cluster
from tests.conformance.persons import Person, account, token
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
RBAC = "rbac.authorization.k8s.io/v1"
SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"

# In the Pod's network, with nothing but what the Pod has: the variables, the CA and the token.
INSIDE = """
import http.client, json, ssl, sys
given = json.load(sys.stdin)
context = ssl.create_default_context(cadata=given["ca"])
connection = http.client.HTTPSConnection(given["host"], int(given["port"]), context=context, timeout=20)
connection.request("GET", given["path"], headers={"Authorization": "Bearer " + given["token"], "Host": "kubernetes.default.svc"})
answer = connection.getresponse()
print(json.dumps([answer.status, json.loads(answer.read())]))
"""


def binding(name: str, role: str, account_name: str, namespace: str) -> Json:
    return {
        "apiVersion": RBAC,
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account_name, "namespace": namespace}],
    }


@pytest.fixture(scope="module")
def inside(cluster: Cluster) -> str:
    """A Pod of the account `reader`, which may view the namespace."""
    account(cluster, "reader")
    cluster.create(f"{RBAC}/rolebindings", binding("reader", "view", "reader", cluster.namespace))
    cluster.run(pod("inside", busybox("app", SLEEP), serviceAccountName="reader"))
    return "inside"


def from_inside(cluster: Cluster, name: str, path: str) -> tuple[int, Json]:
    listed = cluster.request("GET", cluster.path("polong.dev/v1alpha1/pods", name, "processes"))
    pid = next(each["hostPID"] for each in listed["items"] if each["container"] == "app" and each["role"] == "main")
    variables = dict(line.split("=", 1) for line in cluster.sh(name, "app", "env").splitlines() if "=" in line)
    given = {
        "host": variables["KUBERNETES_SERVICE_HOST"],
        "port": variables["KUBERNETES_SERVICE_PORT"],
        "ca": cluster.sh(name, "app", f"cat {MOUNT}/ca.crt"),
        "token": cluster.sh(name, "app", f"cat {MOUNT}/token"),
        "path": path,
    }
    command = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", INSIDE]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    code, document = json.loads(done.stdout)
    return code, document


@pytest.mark.behaviour("serviceaccounts/automount")
def test_token_ca_and_namespace_are_there(cluster: Cluster, inside: str) -> None:
    assert cluster.sh(inside, "app", f"cat {MOUNT}/namespace") == cluster.namespace
    assert "BEGIN CERTIFICATE" in cluster.sh(inside, "app", f"cat {MOUNT}/ca.crt")
    assert cluster.exec(inside, "app", "touch", f"{MOUNT}/x").code != 0
    names = cluster.sh(inside, "app", "grep kubernetes.default.svc /etc/hosts").split()
    assert names[0] == cluster.sh(inside, "app", "echo $KUBERNETES_SERVICE_HOST")


@pytest.mark.behaviour("serviceaccounts/automount")
def test_a_pod_reaches_the_api_with_its_token(cluster: Cluster, inside: str) -> None:
    code, listed = from_inside(cluster, inside, cluster.path("pods"))
    assert (code, [each["metadata"]["name"] for each in listed["items"]]) == (200, [inside])
    code, refused = from_inside(cluster, inside, cluster.path("secrets"))
    user = f"system:serviceaccount:{cluster.namespace}:reader"
    expected = f'secrets is forbidden: User "{user}" cannot list resource "secrets" in API group "" in the namespace "{cluster.namespace}"'
    assert (code, refused["message"]) == (403, expected)


@pytest.mark.behaviour("serviceaccounts/opt-out")
def test_the_pods_word_goes_before_the_accounts(cluster: Cluster) -> None:
    account(cluster, "mount", automountServiceAccountToken=True)
    account(cluster, "nomount", automountServiceAccountToken=False)
    expected = {}
    for name in ("default", "mount", "nomount"):
        for word in (None, True, False):
            spec = {"serviceAccountName": name} | ({} if word is None else {"automountServiceAccountToken": word})
            made = cluster.create("pods", pod(f"{name}-{word}".lower(), busybox("app", SLEEP), **spec), dryRun="All")
            mounts = made["spec"]["containers"][0].get("volumeMounts") or []
            expected[name, word] = any(each["mountPath"] == MOUNT for each in mounts)
    assert {key for key, mounted in expected.items() if not mounted} == {
        ("default", False), ("mount", False), ("nomount", None), ("nomount", False),
    }  # fmt: skip
    cluster.run(pod("without", busybox("app", SLEEP), automountServiceAccountToken=False))
    assert cluster.exec("without", "app", "ls", MOUNT).code != 0


@pytest.mark.behaviour("serviceaccounts/projected-token")
@pytest.mark.parametrize(
    ("name", "security", "mode"),
    [
        ("root", {}, "-rw-r--r--"),
        ("user", {"runAsUser": 1000}, "-rw-------"),
        ("group", {"runAsUser": 1000, "fsGroup": 10000}, "-rw-r-----"),
    ],
)
def test_a_projected_token(cluster: Cluster, name: str, security: Json, mode: str) -> None:
    source = {"serviceAccountToken": {"path": "t", "audience": "vault", "expirationSeconds": 700}}
    volume = {"name": "v", "projected": {"sources": [source]}}
    container = busybox("app", SLEEP, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    cluster.run(pod(f"projected-{name}", container, volumes=[volume], securityContext=security))
    assert cluster.sh(f"projected-{name}", "app", "ls -lL /v/t").split()[0] == mode
    text = cluster.sh(f"projected-{name}", "app", "cat /v/t")
    answer = review(cluster, text, "vault")
    assert (answer["authenticated"], answer["audiences"]) == (True, ["vault"])
    assert answer["user"]["extra"]["authentication.kubernetes.io/pod-name"] == [f"projected-{name}"]
    assert Person(cluster, text).ask("GET", "/api/v1/nodes").code == 401, "it is for another audience"


def review(cluster: Cluster, text: str, *audiences: str) -> Json:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": text, "audiences": list(audiences)}}
    status: Json = cluster.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)["status"]
    return status


@pytest.mark.behaviour("serviceaccounts/token-request")
def test_tokens_asked_for_and_reviewed(cluster: Cluster) -> None:
    account(cluster, "asked")
    text = token(cluster, "asked", expirationSeconds=3600)
    found = review(cluster, text)
    assert found["authenticated"]
    assert found["user"]["username"] == f"system:serviceaccount:{cluster.namespace}:asked"
    assert f"system:serviceaccounts:{cluster.namespace}" in found["user"]["groups"]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    whoami = Person(cluster, text).ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    assert (whoami.code, whoami.json["status"]["userInfo"]["username"]) == (201, found["user"]["username"])
    cluster.delete("serviceaccounts", "asked")
    assert not review(cluster, text).get("authenticated")
    assert Person(cluster, text).ask("GET", "/api").code == 401


@pytest.mark.behaviour("serviceaccounts/token-request")
def test_a_token_ends_with_its_pod(cluster: Cluster) -> None:
    uid = cluster.run(pod("bound", busybox("app", SLEEP)))["metadata"]["uid"]
    text = token(cluster, "default", boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "bound", "uid": uid})
    assert Person(cluster, text).ask("GET", "/api").code == 200
    cluster.delete("pods", "bound", grace=1)
    cluster.gone("pods", "bound")
    assert Person(cluster, text).ask("GET", "/api").code == 401


@pytest.mark.behaviour("serviceaccounts/oidc")
def test_others_can_find_the_keys(cluster: Cluster, inside: str) -> None:
    code, found = from_inside(cluster, inside, "/.well-known/openid-configuration")
    assert (code, found["issuer"]) == (200, "https://kubernetes.default.svc.cluster.local")
    code, keys = from_inside(cluster, inside, "/openid/v1/jwks")
    assert (code, keys["keys"][0]["alg"]) == (200, "ES256")
    assert Person(cluster).ask("GET", "/openid/v1/jwks").code == 401


@pytest.mark.behaviour("serviceaccounts/subject-review")
def test_may_he(cluster: Cluster) -> None:
    account(cluster, "subject")
    user = f"system:serviceaccount:{cluster.namespace}:subject"
    attributes = {"namespace": cluster.namespace, "verb": "list", "resource": "configmaps"}

    def may(plural: str) -> bool:
        kind = "LocalSubjectAccessReview" if plural.startswith("local") else "SubjectAccessReview"
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {"user": user, "resourceAttributes": attributes}}
        namespaced = plural.startswith("local")
        if namespaced:
            body["metadata"] = {"namespace": cluster.namespace}
        answer = cluster.create(f"authorization.k8s.io/v1/{plural}", body, namespaced=namespaced)
        return bool(answer["status"]["allowed"])

    def acting() -> int:
        sent = cluster.api.param_serialize("GET", cluster.path("configmaps"), header_params={"Impersonate-User": user})
        answer = cluster.api.call_api(*sent, _request_timeout=60)
        answer.read()
        return int(answer.status)

    reviews = ("subjectaccessreviews", "localsubjectaccessreviews")
    assert ([may(each) for each in reviews], acting()) == ([False, False], 403)
    cluster.create(f"{RBAC}/rolebindings", binding("subject", "view", "subject", cluster.namespace))
    eventually(lambda: all(may(each) for each in reviews), "the binding counts")
    assert acting() == 200
