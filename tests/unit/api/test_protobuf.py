"""Protobuf bodies: whole objects there and back, zero values, and what is no message."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from polong.api import protobuf
from polong.kit.errors import BadRequest, PolongError, Unsupported
from polong.objects.decode import decode_object
from polong.objects.schema import Type, definitions, type_of

from .conftest import Api, pod
from .kubeproto import encode, integer, message, part

PODS = "/api/v1/namespaces/default/pods"
PROTOBUF = {"content-type": "application/vnd.kubernetes.protobuf"}

POD = yaml.safe_load("""
apiVersion: v1
kind: Pod
metadata:
  name: full
  labels: {a: b, empty: ""}
  creationTimestamp: "2026-01-02T03:04:05Z"
  ownerReferences: [{apiVersion: v1, kind: Node, name: n, uid: u, controller: false}]
  managedFields:
  - {manager: m, operation: Update, apiVersion: v1, time: "2026-01-02T03:04:05Z", fieldsType: FieldsV1, fieldsV1: {"f:spec": {".": {}}}}
spec:
  shareProcessNamespace: false
  terminationGracePeriodSeconds: 0
  hostNetwork: true
  nodeSelector: {x: y}
  securityContext: {runAsUser: 0, supplementalGroups: [1, 5000000000], sysctls: [{name: a.b, value: "1"}]}
  volumes:
  - {name: empty, emptyDir: {}}
  - {name: sized, emptyDir: {medium: Memory, sizeLimit: 10Mi}}
  - {name: config, configMap: {name: c, optional: false, items: [{key: k, path: p, mode: 0}]}}
  - name: all
    projected: {defaultMode: 420, sources: [{secret: {name: s}}, {serviceAccountToken: {path: t, expirationSeconds: 600}}]}
  initContainers: [{name: side, image: i, restartPolicy: Always}]
  containers:
  - name: c
    image: nginx
    command: [sh, -c, "", "echo é"]
    ports: [{name: web, containerPort: 80, protocol: TCP}]
    env:
    - {name: A, value: x}
    - {name: B, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}}
    - {name: C, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}
    - {name: D, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    envFrom: [{prefix: P_, configMapRef: {name: c}}]
    resources: {limits: {cpu: 500m, memory: 1Gi}, requests: {cpu: "0"}}
    livenessProbe: {httpGet: {path: /, port: web, httpHeaders: [{name: X, value: y}]}, periodSeconds: 3}
    readinessProbe: {tcpSocket: {port: 80}, initialDelaySeconds: 1}
    startupProbe: {exec: {command: ["true"]}, terminationGracePeriodSeconds: 0}
    lifecycle: {preStop: {sleep: {seconds: 3}}}
    securityContext: {capabilities: {add: [SYS_PTRACE]}, privileged: false, readOnlyRootFilesystem: true}
    stdin: true
    tty: true
  ephemeralContainers: [{name: debug, image: busybox, targetContainerName: c}]
  tolerations: [{operator: Exists, tolerationSeconds: 0}]
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Gt, values: ["1"]}]}]}
  os: {name: linux}
""")

OBJECTS: list[dict[str, Any]] = [
    POD,
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "AAH/"}, "stringData": {"t": "x"}, "immutable": False},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"": ""}, "binaryData": {"k": "AAH/"}},
    {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "p"},
        "deleteOptions": {"gracePeriodSeconds": 0, "dryRun": ["All"]},
    },
    {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}},
    },
    {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": "u", "extra": {"a": ["1", "2"], "b": []}, "nonResourceAttributes": {"path": "/x", "verb": "get"}},
    },
    {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["a"], "expirationSeconds": 600}},
    {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "h", "leaseDurationSeconds": 40, "renewTime": "2026-01-02T03:04:05.000006Z"},
    },
    {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}},
    {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "count": 2, "eventTime": "2026-01-02T03:04:05.000000Z"},
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
    },
]


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: obj["kind"])
def test_there_and_back(obj: dict[str, Any]) -> None:
    decoded = protobuf.decode(encode(obj))
    assert decoded == obj
    if obj["kind"] != "Event":
        assert not decode_object(decoded, obj["apiVersion"], obj["kind"]).problems


def test_zero_values_are_absent_but_those_of_pointers() -> None:
    spec = type_of("v1", "Pod").field("spec")  # type: ignore[union-attr]
    assert spec is not None
    zeros = {"hostNetwork": False, "hostname": "", "activeDeadlineSeconds": 0, "shareProcessNamespace": False, "securityContext": {}}
    body = message({"spec": zeros, "metadata": {}, "status": {}}, type_of("v1", "Pod"), "io.k8s.api.core.v1.Pod")  # type: ignore[arg-type]
    data = b"k8s\0" + part(1, part(1, b"v1") + part(2, b"Pod")) + part(2, body)
    kept = {"activeDeadlineSeconds": 0, "shareProcessNamespace": False, "securityContext": {}}
    assert protobuf.decode(data) == {"apiVersion": "v1", "kind": "Pod", "spec": kept}


def _reachable(schema: Type, seen: set[str]) -> None:
    if not schema.name or schema.name in seen or schema.kind != "object":
        return
    seen.add(schema.name)
    for name in schema.properties:
        child = schema.field(name)
        while child is not None and child.kind in ("array", "map"):
            child = child.items() if child.kind == "array" else child.field("")
        if child is not None:
            _reachable(child, seen)


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: obj["kind"])
def test_the_table_knows_every_field_of_the_schema(obj: dict[str, Any]) -> None:
    schema, seen = type_of(obj["apiVersion"], obj["kind"]), set[str]()
    assert schema is not None
    _reachable(schema, seen)
    table = protobuf._messages()

    def fields(name: str) -> set[str]:
        return {one for field in table[name].values() for one in (fields(field.inline) if field.inline else {field.name})}

    # Fields younger than the table would be dropped in silence.
    missing = {name: set(definitions()[name].get("properties", ())) - fields(name) - {"apiVersion", "kind"} for name in seen}
    assert {name: left for name, left in missing.items() if left} in ({}, {"io.k8s.api.core.v1.NodeSystemInfo": {"runningInUserNamespace"}})


async def test_a_pod_and_its_deletion_over_the_api(api: Api) -> None:
    code, made = await api("POST", PODS, encode(pod()), headers=PROTOBUF)
    assert (code, made["spec"]["containers"][0]["image"]) == (201, "nginx")
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}
    assert (await api("DELETE", PODS + "/p", encode(options), headers=PROTOBUF))[0] == 409
    options["preconditions"] = {"uid": made["metadata"]["uid"]}
    assert (await api("DELETE", PODS + "/p", encode(options), headers=PROTOBUF))[0] == 200
    assert (await api("GET", PODS + "/p"))[0] == 404


async def test_what_is_of_another_kind_is_refused(api: Api) -> None:
    code, status = await api("POST", PODS, encode(OBJECTS[1]), headers=PROTOBUF)
    assert (code, status["reason"]) == (400, "BadRequest")
    foreign = b"k8s\0" + part(1, part(1, b"example.com/v1") + part(2, b"Widget")) + part(2, b"")
    code, status = await api("POST", PODS, foreign, headers=PROTOBUF)
    assert (code, status["reason"]) == (415, "UnsupportedMediaType")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damage_is_a_bad_request(data: st.DataObject) -> None:
    body = bytearray(encode(POD))
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(4, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(4, len(body)))
    try:
        decoded = protobuf.decode(bytes(body[:cut]))
        decode_object(decoded, decoded["apiVersion"], decoded["kind"])
    except PolongError as error:
        assert isinstance(error, BadRequest | Unsupported)  # noqa: PT017


def test_a_body_cannot_become_much_larger_in_memory() -> None:
    spec = b"".join([part(2, b"")] * (protobuf.MAX_VALUES + 1))
    data = b"k8s\0" + part(1, part(1, b"v1") + part(2, b"Pod")) + part(2, part(2, spec))
    with pytest.raises(BadRequest, match="more than"):
        protobuf.decode(data)


def test_fields_unknown_here_are_passed_over() -> None:
    data = b"k8s\0" + part(1, part(1, b"v1") + part(2, b"Pod")) + part(2, part(2, part(16, b"h") + integer(999, 3) + part(998, b"x")))
    assert protobuf.decode(data)["spec"] == {"hostname": "h"}
