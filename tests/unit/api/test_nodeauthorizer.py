"""The node may what a kubelet needs, on its own objects, and nothing else; and it needs no more than that."""

import re

import pytest

from polong.api import paths
from polong.api.authorization.authorizer import Authorizer
from polong.api.authorization.rbac import Rbac
from polong.api.objectstore import ObjectStore
from polong.api.service import MASTERS, User
from polong.daemon.inprocess import node_user
from polong.kit.errors import Forbidden, Unauthorized
from polong.store.memory import MemoryStorage

NODE = node_user("n")
POD = "/api/v1/namespaces/default/pods"
OWN = [("fieldSelector", "spec.nodeName=n")]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


async def ask(user: User | None, method: str, path: str, query: list[tuple[str, str]] | None = None) -> None:
    target = paths.parse(path)
    query = query or []
    verb = paths.verb(method, target, dict(query)) if target else method.lower()
    await Authorizer(Rbac(ObjectStore(MemoryStorage())), "n").check(user, verb, path, target, query)


def test_the_kubelet_is_no_administrator():
    assert User("system:node:n", ("system:nodes", "system:authenticated")) == NODE
    assert MASTERS not in NODE.groups


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/api/v1/pods", OWN),
        ("GET", "/api/v1/pods", [*OWN, ("watch", "true")]),
        ("GET", f"{POD}/p", None),
        ("DELETE", f"{POD}/p", None),
        ("PATCH", f"{POD}/p/status", None),
        ("POST", "/api/v1/namespaces/default/events", None),
        ("PATCH", "/api/v1/namespaces/default/events/e", None),
        ("POST", "/api/v1/nodes", None),
        ("GET", "/api/v1/nodes/n", None),
        ("PATCH", "/api/v1/nodes/n", None),
        ("PATCH", "/api/v1/nodes/n/status", None),
        ("PUT", f"{LEASES}/n", None),
        ("GET", "/api/v1/namespaces/default/configmaps/c", None),
        ("GET", "/api/v1/namespaces/default/secrets", [("fieldSelector", "metadata.name=s"), ("watch", "true")]),
        ("GET", "/version", None),
    ],
)
async def test_what_a_kubelet_needs(method: str, path: str, query: list[tuple[str, str]] | None):
    await ask(NODE, method, path, query)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/api/v1/pods", None),
        ("GET", "/api/v1/pods", [("fieldSelector", "spec.nodeName=other")]),
        ("GET", "/api/v1/pods", [("watch", "true")]),
        ("PATCH", f"{POD}/p", None),
        ("DELETE", POD, None),
        ("POST", f"{POD}/p/exec", None),
        ("POST", f"{POD}/p/attach", None),
        ("POST", f"{POD}/p/portforward", None),
        ("GET", f"{POD}/p/log", None),
        ("GET", "/api/v1/nodes", None),
        ("GET", "/api/v1/nodes/other", None),
        ("PATCH", "/api/v1/nodes/other/status", None),
        ("DELETE", "/api/v1/nodes/n", None),
        ("GET", "/api/v1/namespaces/default/events", None),
        ("DELETE", "/api/v1/namespaces/default/events/e", None),
        ("GET", "/api/v1/namespaces", None),
        ("DELETE", "/api/v1/namespaces/default", None),
        ("PUT", f"{LEASES}/other", None),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/n", None),
        ("GET", "/apis/polong.dev/v1alpha1/images", None),
        ("DELETE", "/apis/polong.dev/v1alpha1/images", None),
        ("GET", "/openapi/v2", None),
    ],
)
async def test_and_nothing_else(method: str, path: str, query: list[tuple[str, str]] | None):
    with pytest.raises(Forbidden, match='User "system:node:n" cannot'):
        await ask(NODE, method, path, query)


async def test_another_node_may_nothing():
    with pytest.raises(Forbidden, match=re.escape('in API group "" in the namespace "default": unknown node "m"')):
        await ask(node_user("m"), "GET", f"{POD}/p")


async def test_the_name_of_a_node_without_its_group_is_a_name_like_any():
    with pytest.raises(Forbidden):
        await ask(User("system:node:n", ("system:authenticated",)), "GET", f"{POD}/p")
    with pytest.raises(Unauthorized):
        await ask(None, "GET", f"{POD}/p")
