"""RBAC through the door: default roles, bindings, refusals word for word, escalation, aggregation."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from polong.api.authorization import aggregation, defaults
from polong.api.authorization.rules import Attributes, compile_rule, compile_rules, uncovered
from polong.api.service import User

from .conftest import Api, pod

Json = dict[str, Any]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
PODS = "/api/v1/namespaces/default/pods"
MERGE = {"content-type": "application/merge-patch+json"}
JANE = User("jane", ("devs", "system:authenticated"))


def role(name: str, *rules: Json, kind: str = "Role", **more: Any) -> Json:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name, **more}, "rules": list(rules)}


def rule(verbs: str, resources: str, group: str = "", **more: Any) -> Json:
    return {"apiGroups": [group], "resources": resources.split(","), "verbs": verbs.split(","), **more}


def binding(role_name: str, role_kind: str = "ClusterRole", *, kind: str = "RoleBinding", **subject: str) -> Json:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": f"b-{role_name}"},
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role_name},
        "subjects": [subject or {"kind": "User", "name": "jane"}],
    }


async def bind(api: Api, *what: Any, namespace: str = "default", **more: Any) -> None:
    body = binding(*what, **more)
    path = f"{RBAC}/namespaces/{namespace}/rolebindings" if body["kind"] == "RoleBinding" else f"{RBAC}/clusterrolebindings"
    code, answer = await api("POST", path, body)
    assert code == 201, answer


async def test_nobody_may_anything_but_discover(api: Api) -> None:
    code, answer = await api("GET", PODS, user=JANE)
    assert (code, answer["reason"], answer["details"]) == (403, "Forbidden", {"kind": "pods"})
    assert answer["message"] == 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
    _, answer = await api("GET", "/api/v1/nodes/n1", user=JANE)
    assert answer["message"] == 'nodes "n1" is forbidden: User "jane" cannot get resource "nodes" in API group "" at the cluster scope'
    _, answer = await api("GET", f"{RBAC}/namespaces/default/roles/x", user=JANE)
    assert answer["message"] == (
        'roles.rbac.authorization.k8s.io "x" is forbidden: User "jane" cannot get resource "roles" in API group '
        '"rbac.authorization.k8s.io" in the namespace "default"'
    )
    for path in ("/api", "/apis", "/version", "/openapi/v3", "/apis/polong.dev/v1alpha1"):
        assert (await api("GET", path, user=JANE))[0] == 200
    _, answer = await api("GET", "/metrics", user=JANE)
    assert answer["message"] == 'forbidden: User "jane" cannot get path "/metrics"'


async def test_view_edit_and_admin(api: Api) -> None:
    await api.create(pod())
    await bind(api, "view")
    assert (await api("GET", PODS, user=JANE))[0] == 200
    assert (await api("GET", "/api/v1/namespaces/default/secrets", user=JANE))[0] == 403
    assert (await api("GET", "/api/v1/pods", user=JANE))[0] == 403
    assert (await api("GET", "/api/v1/namespaces/default", user=JANE))[0] == 200
    assert (await api("POST", PODS, pod("q"), user=JANE))[0] == 403
    await bind(api, "edit")
    assert (await api("POST", PODS, pod("q"), user=JANE))[0] == 201
    assert (await api("GET", "/api/v1/namespaces/default/secrets", user=JANE))[0] == 200
    assert (await api("GET", f"{RBAC}/namespaces/default/roles", user=JANE))[0] == 403
    await bind(api, "admin")
    assert (await api("POST", f"{RBAC}/namespaces/default/roles", role("r", rule("get", "pods")), user=JANE))[0] == 201
    assert (await api("GET", "/api/v1/namespaces/kube-system/pods", user=JANE))[0] == 403
    assert (await api("GET", "/api/v1/nodes", user=JANE))[0] == 403


async def test_a_get_that_runs_something_is_a_create(api: Api) -> None:
    await api.create(pod())
    await api("POST", f"{RBAC}/namespaces/default/roles", role("r", rule("get", "pods,pods/exec,pods/attach,pods/portforward")))
    await bind(api, "r", "Role")
    for subresource in ("exec", "attach", "portforward"):
        for method in ("GET", "POST"):
            code, answer = await api(method, f"{PODS}/p/{subresource}", user=JANE, command="id")
            assert (code, f'cannot create resource "pods/{subresource}"' in answer["message"]) == (403, True)
    code, answer = await api("GET", "/apis/polong.dev/v1alpha1/namespaces/default/pods/p/files", user=JANE, path="/etc/passwd")
    assert (code, 'cannot create resource "pods/files" in API group "polong.dev"' in answer["message"]) == (403, True)


async def test_subjects(api: Api) -> None:
    body = binding("view", kind="ClusterRoleBinding")
    body["subjects"] = [{"kind": "Group", "name": "devs"}, {"kind": "ServiceAccount", "name": "sa", "namespace": "default"}]
    code, made = await api("POST", f"{RBAC}/clusterrolebindings", body)
    assert code == 201, made
    assert made["subjects"] == [{"kind": "Group", "name": "devs", "apiGroup": GROUP}, body["subjects"][1]]
    account = User("system:serviceaccount:default:sa", ("system:serviceaccounts", "system:authenticated"))
    for user in (JANE, account):
        assert (await api("GET", "/api/v1/pods", user=user))[0] == 200
    assert (await api("GET", "/api/v1/pods", user=User("system:serviceaccount:other:sa")))[0] == 403
    # What was given can be taken away again.
    await api("DELETE", f"{RBAC}/clusterrolebindings/b-view")
    assert (await api("GET", "/api/v1/pods", user=JANE))[0] == 403


async def test_resource_names_and_subresources(api: Api) -> None:
    await api.create(pod())
    await api.create(pod("q"))
    rules = [rule("get", "pods", resourceNames=["p"]), rule("get", "*/status")]
    await api("POST", f"{RBAC}/namespaces/default/roles", role("r", *rules))
    await bind(api, "r", "Role")
    assert (await api("GET", f"{PODS}/p", user=JANE))[0] == 200
    assert (await api("GET", f"{PODS}/q", user=JANE))[0] == 403
    assert (await api("GET", PODS, user=JANE))[0] == 403
    assert (await api("GET", f"{PODS}/q/status", user=JANE))[0] == 200


async def test_a_binding_to_nothing_says_so(api: Api) -> None:
    await bind(api, "gone", "Role")
    _, answer = await api("GET", PODS, user=JANE)
    assert answer["message"].endswith(': RBAC: role.rbac.authorization.k8s.io "gone" not found')


async def test_nobody_gives_what_he_does_not_hold(api: Api) -> None:
    await bind(api, "admin")
    wanted = role("r", rule("get,use", "pods,nodes"))
    code, answer = await api("POST", f"{RBAC}/namespaces/default/roles", wanted, user=JANE)
    assert code == 403
    assert answer["message"] == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant '
        'RBAC permissions not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get" "use"]}\n'
        '{APIGroups:[""], Resources:["pods"], Verbs:["use"]}'
    )
    # A role of somebody else cannot be bound either, unless one may bind it.
    code, answer = await api("POST", f"{RBAC}/namespaces/default/rolebindings", binding("cluster-admin"), user=JANE)
    assert (code, "attempting to grant RBAC permissions not currently held" in answer["message"]) == (403, True)
    assert (await api("POST", f"{RBAC}/namespaces/default/rolebindings", binding("edit"), user=JANE))[0] == 201
    await api("POST", f"{RBAC}/namespaces/default/roles", role("binder", rule("bind", "clusterroles", GROUP)))
    await bind(api, "binder", "Role")
    assert (await api("POST", f"{RBAC}/namespaces/default/rolebindings", binding("cluster-admin"), user=JANE))[0] == 201


async def test_escalate_and_harmless_updates(api: Api) -> None:
    await bind(api, "admin")
    path = f"{RBAC}/namespaces/default/roles/r"
    await api("POST", f"{RBAC}/namespaces/default/roles", role("r", rule("get", "nodes")))
    code, _ = await api("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, headers=MERGE, user=JANE)
    assert code == 200
    more = {"rules": [rule("get,list", "nodes")]}
    assert (await api("PATCH", path, more, headers=MERGE, user=JANE))[0] == 403
    await api("POST", f"{RBAC}/namespaces/default/roles", role("e", rule("escalate", "roles", GROUP)))
    await bind(api, "e", "Role")
    assert (await api("PATCH", path, more, headers=MERGE, user=JANE))[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("namespaces/default/roles", role("r", {"apiGroups": [""], "resources": ["pods"]}),
         "rules[0].verbs: Required value: verbs must contain at least one value"),
        ("namespaces/default/roles", role("r", {"verbs": ["get"], "resources": ["pods"]}),
         "rules[0].apiGroups: Required value: resource rules must supply at least one api group"),
        ("namespaces/default/roles", role("r", {"verbs": ["get"], "apiGroups": [""]}),
         "rules[0].resources: Required value: resource rules must supply at least one resource"),
        ("namespaces/default/roles", role("r", {"verbs": ["get"], "nonResourceURLs": ["/x"]}),
         'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'),
        ("clusterroles", role("r", {"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]}, kind="ClusterRole"),
         'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs'),
        ("clusterroles", role("a%b", kind="ClusterRole"), 'metadata.name: Invalid value: "a%b": may not contain \'%\''),
        ("namespaces/default/rolebindings", binding("r", "Thing"),
         'roleRef.kind: Unsupported value: "Thing": supported values: "Role", "ClusterRole"'),
        ("clusterrolebindings", binding("r", "Role", kind="ClusterRoleBinding"),
         'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'),
        ("clusterrolebindings", {**binding("r", kind="ClusterRoleBinding"), "subjects": [{"kind": "ServiceAccount", "name": "x"}]},
         "subjects[0].namespace: Required value"),
        ("clusterrolebindings", {**binding("r", kind="ClusterRoleBinding"), "subjects": [{"kind": "Robot", "name": "x"}]},
         'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"'),
        ("clusterrolebindings", {**binding("r", kind="ClusterRoleBinding"), "subjects": [{"kind": "User", "name": "x", "apiGroup": "y"}]},
         'subjects[0].apiGroup: Unsupported value: "y": supported values: "rbac.authorization.k8s.io"'),
    ],
)  # fmt: skip
async def test_validation(api: Api, path: str, body: Json, message: str) -> None:
    code, answer = await api("POST", f"{RBAC}/{path}", body)
    assert (code, message in answer["message"]) == (422, True), answer["message"]


async def test_a_binding_keeps_its_role(api: Api) -> None:
    await bind(api, "view")
    path = f"{RBAC}/namespaces/default/rolebindings/b-view"
    code, answer = await api("PATCH", path, {"roleRef": {"name": "edit"}}, headers=MERGE)
    assert (code, "cannot change roleRef" in answer["message"]) == (422, True)


async def test_aggregation(api: Api) -> None:
    _, view = await api("GET", f"{RBAC}/clusterroles/view")
    assert any("pods" in one["resources"] and "get" in one["verbs"] for one in view["rules"])
    labels = {f"{GROUP}/aggregate-to-view": "true"}
    await api("POST", f"{RBAC}/clusterroles", role("more", rule("get", "nodes"), kind="ClusterRole", labels=labels))
    for name in ("view", "edit", "admin"):
        _, found = await api("GET", f"{RBAC}/clusterroles/{name}")
        assert rule("get", "nodes") in found["rules"]
    await api("DELETE", f"{RBAC}/clusterroles/more")
    assert (await api("GET", f"{RBAC}/clusterroles/view"))[1]["rules"] == view["rules"]


async def test_default_roles_are_mended_at_the_next_start(api: Api) -> None:
    path = f"{RBAC}/clusterroles/system:basic-user"
    _, before = await api("GET", path)
    await api("PATCH", path, {"rules": []}, headers=MERGE)
    await api("PATCH", f"{RBAC}/clusterroles/system:discovery", {"rules": [], "metadata": {"annotations": None}}, headers=MERGE)
    await api.service.start()
    assert (await api("GET", path))[1]["rules"] == before["rules"]
    assert (await api("GET", f"{RBAC}/clusterroles/system:discovery"))[1]["rules"] == []
    revision = await api.storage.revision()
    await api.service.start()
    assert await api.storage.revision() == revision


def test_rules_word_by_word() -> None:
    star = compile_rule({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
    assert star.allows(Attributes("get", "a", "b", "c", "d", "e"))
    assert not star.allows(Attributes("get", path="/metrics"))
    urls = compile_rule({"verbs": ["get"], "nonResourceURLs": ["/api/*", "/x"]})
    assert [urls.allows(Attributes("get", path=path)) for path in ("/api/a", "/api", "/x", "/xy")] == [True, False, True, False]
    pods = compile_rule(rule("get", "pods"))
    assert not pods.allows(Attributes("get", "", "pods", "log"))
    assert not pods.allows(Attributes("get", "apps", "pods"))


@pytest.mark.parametrize(
    ("held", "asked", "missing"),
    [
        ([rule("get,list", "pods")], [rule("get", "pods")], []),
        ([rule("get", "pods"), rule("list", "pods")], [rule("get,list", "pods")], []),
        ([rule("*", "*", "*")], [rule("get", "pods/exec", "x")], []),
        ([rule("get", "pods")], [rule("*", "pods")], ['{APIGroups:[""], Resources:["pods"], Verbs:["*"]}']),
        ([rule("get", "pods", resourceNames=["a"])], [rule("get", "pods")], ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}']),
        ([rule("get", "pods")], [rule("get", "pods", resourceNames=["a"])], []),
        ([rule("get", "*/exec")], [rule("get", "pods/exec")], []),
        ([{"verbs": ["get"], "nonResourceURLs": ["/a/*"]}], [{"verbs": ["get"], "nonResourceURLs": ["/a/b", "/c"]}],
         ['{NonResourceURLs:["/c"], Verbs:["get"]}']),
    ],
)  # fmt: skip
def test_what_is_not_held(held: list[Json], asked: list[Json], missing: list[str]) -> None:
    assert [str(one) for one in uncovered(compile_rules(held), compile_rules(asked))] == missing


def test_selectors_of_aggregation() -> None:
    def chosen(selector: Json, labels: dict[str, str]) -> bool:
        whole = {"metadata": {"name": "w"}, "rules": [], "aggregationRule": {"clusterRoleSelectors": [selector]}}
        part = {"metadata": {"name": "p", "labels": labels}, "rules": [rule("get", "x")]}
        return bool(list(aggregation.stale([deepcopy(whole), part])))

    expressions = {"In": True, "NotIn": False, "Exists": True, "DoesNotExist": False}
    for operator, expected in expressions.items():
        selector = {"matchExpressions": [{"key": "a", "operator": operator, "values": ["b"]}]}
        assert chosen(selector, {"a": "b"}) is expected
    assert not chosen({"matchLabels": {"a": "c"}}, {"a": "b"})


def test_default_roles_speak_of_what_exists() -> None:
    names = {one["metadata"]["name"] for one in defaults.roles()}
    assert {"cluster-admin", "admin", "edit", "view", "system:discovery"} <= names
    assert {one["roleRef"]["name"] for one in defaults.bindings()} <= names
