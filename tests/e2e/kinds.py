"""One object of every kind that the API serves: what clients are tried with. docs/api.md is checked against this list."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_PODS: Json = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "busybox:1.28"}]}}
_RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
_RBAC = "rbac.authorization.k8s.io"


def _role(kind: str) -> Json:
    return {"apiGroup": _RBAC, "kind": kind, "name": "view"}


SAMPLES: dict[str, Json] = {
    "pods": {"spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "busybox:1.28"}]}},
    "configmaps": {"data": {"k": "v"}},
    "secrets": {"data": {"k": "dg=="}},
    "serviceaccounts": {},
    "limitranges": {"spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}},
    "resourcequotas": {"spec": {"hard": {"count/leases.coordination.k8s.io": "9"}}},
    "podtemplates": {"template": _PODS},
    "persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": "standard"}
    },
    "services": {"spec": {"ports": [{"port": 80, "targetPort": "web"}]}},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80, "protocol": "TCP"}]}]},
    "endpointslices.discovery.k8s.io": {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}],
        "ports": [{"name": "web", "port": 80, "protocol": "TCP"}],
    },
    "events": {"reason": "Sample", "message": "one", "type": "Normal", "involvedObject": {"kind": "Pod", "name": "some"}},
    "nodes": {"spec": {"unschedulable": True}},
    "namespaces": {},
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "some", "leaseDurationSeconds": 5}},
    "runtimeclasses.node.k8s.io": {"handler": "crun"},
    "priorityclasses.scheduling.k8s.io": {"value": 5, "description": "five"},
    f"roles.{_RBAC}": {"rules": [_RULE]},
    f"clusterroles.{_RBAC}": {"rules": [_RULE]},
    f"rolebindings.{_RBAC}": {"roleRef": _role("ClusterRole"), "subjects": [{"kind": "User", "name": "some", "apiGroup": _RBAC}]},
    f"clusterrolebindings.{_RBAC}": {"roleRef": _role("ClusterRole"), "subjects": [{"kind": "User", "name": "some", "apiGroup": _RBAC}]},
}
"""By `plural` or `plural.group`; events.k8s.io/v1 serves the events of core/v1."""

KINDS = {
    "pods": "Pod",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "serviceaccounts": "ServiceAccount",
    "limitranges": "LimitRange",
    "resourcequotas": "ResourceQuota",
    "podtemplates": "PodTemplate",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "services": "Service",
    "endpoints": "Endpoints",
    "endpointslices.discovery.k8s.io": "EndpointSlice",
    "events": "Event",
    "nodes": "Node",
    "namespaces": "Namespace",
    "leases.coordination.k8s.io": "Lease",
    "runtimeclasses.node.k8s.io": "RuntimeClass",
    "priorityclasses.scheduling.k8s.io": "PriorityClass",
    f"roles.{_RBAC}": "Role",
    f"clusterroles.{_RBAC}": "ClusterRole",
    f"rolebindings.{_RBAC}": "RoleBinding",
    f"clusterrolebindings.{_RBAC}": "ClusterRoleBinding",
}

CLUSTER_WIDE = frozenset({"Node", "Namespace", "RuntimeClass", "PriorityClass", "ClusterRole", "ClusterRoleBinding"})


def sample(plural: str, name: str, namespace: str) -> Json:
    """A complete object."""
    group = plural.partition(".")[2]
    kind = KINDS[plural]
    metadata: Json = {"name": name, "labels": {"sample": name}}
    if kind not in CLUSTER_WIDE:
        metadata["namespace"] = namespace
    body = {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": metadata, **SAMPLES[plural]}
    if kind == "Event":
        body["involvedObject"] = {**body["involvedObject"], "namespace": namespace}
    return body


def samples(name: str, namespace: str) -> list[Json]:
    return [sample(plural, name, namespace) for plural in SAMPLES]
