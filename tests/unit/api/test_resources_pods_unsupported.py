"""Every field of Kubernetes' Pod is either carried out or refused by name: nothing falls between, nothing is ignored.

The walk is over the schema, so a field that a newer Kubernetes brings fails here until somebody decides about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import polong
from polong.objects.schema import Type, type_of

from .conftest import Api, pod

Json = dict[str, Any]

CARRIED_OUT = {
    "spec.containers[].args",
    "spec.containers[].command",
    "spec.containers[].env[].name",
    "spec.containers[].env[].value",
    "spec.containers[].env[].valueFrom.fieldRef.fieldPath",
    "spec.containers[].env[].valueFrom.resourceFieldRef.containerName",
    "spec.containers[].env[].valueFrom.resourceFieldRef.divisor",
    "spec.containers[].env[].valueFrom.resourceFieldRef.resource",
    "spec.containers[].image",
    "spec.containers[].imagePullPolicy",
    "spec.containers[].name",
    "spec.containers[].ports[].containerPort",
    "spec.containers[].ports[].hostIP",
    "spec.containers[].ports[].hostPort",
    "spec.containers[].ports[].protocol",
    "spec.containers[].resources.limits",
    "spec.containers[].resources.requests",
    "spec.containers[].resizePolicy[].resourceName",
    "spec.containers[].resizePolicy[].restartPolicy",
    "spec.containers[].securityContext.allowPrivilegeEscalation",
    "spec.containers[].securityContext.appArmorProfile.localhostProfile",
    "spec.containers[].securityContext.appArmorProfile.type",
    "spec.containers[].securityContext.capabilities.add",
    "spec.containers[].securityContext.capabilities.drop",
    "spec.containers[].securityContext.privileged",
    "spec.containers[].securityContext.procMount",
    "spec.containers[].securityContext.readOnlyRootFilesystem",
    "spec.containers[].securityContext.runAsGroup",
    "spec.containers[].securityContext.runAsNonRoot",
    "spec.containers[].securityContext.runAsUser",
    "spec.containers[].securityContext.seccompProfile.localhostProfile",
    "spec.containers[].securityContext.seccompProfile.type",
    "spec.containers[].stdin",
    "spec.containers[].stdinOnce",
    "spec.containers[].terminationMessagePath",
    "spec.containers[].terminationMessagePolicy",
    "spec.containers[].tty",
    "spec.containers[].volumeMounts[].mountPath",
    "spec.containers[].volumeMounts[].name",
    "spec.containers[].volumeMounts[].readOnly",
    "spec.containers[].workingDir",
    "spec.dnsConfig.nameservers",
    "spec.dnsConfig.options[].name",
    "spec.dnsConfig.options[].value",
    "spec.dnsConfig.searches",
    "spec.dnsPolicy",
    "spec.hostAliases[].hostnames",
    "spec.hostAliases[].ip",
    "spec.hostIPC",
    "spec.hostNetwork",
    "spec.hostPID",
    "spec.hostname",
    "spec.hostnameOverride",
    "spec.readinessGates[].conditionType",
    "spec.resources.limits",
    "spec.resources.requests",
    "spec.restartPolicy",
    "spec.runtimeClassName",
    "spec.securityContext.fsGroup",
    "spec.securityContext.runAsGroup",
    "spec.securityContext.runAsNonRoot",
    "spec.securityContext.runAsUser",
    "spec.securityContext.appArmorProfile.localhostProfile",
    "spec.securityContext.appArmorProfile.type",
    "spec.securityContext.seccompProfile.localhostProfile",
    "spec.securityContext.seccompProfile.type",
    "spec.securityContext.supplementalGroups",
    "spec.securityContext.supplementalGroupsPolicy",
    "spec.securityContext.sysctls[].name",
    "spec.securityContext.sysctls[].value",
    "spec.setHostnameAsFQDN",
    "spec.shareProcessNamespace",
    "spec.subdomain",
    "spec.terminationGracePeriodSeconds",
    "spec.volumes[].emptyDir.medium",
    "spec.volumes[].emptyDir.sizeLimit",
    "spec.volumes[].hostPath.path",
    "spec.volumes[].hostPath.type",
    "spec.volumes[].name",
}
"""A kubelet's work: each is read where the Pod is run (a test below looks)."""

WITHOUT_EFFECT = {
    "spec.automountServiceAccountToken": "admission mounts the token, or not",
    "spec.containers[].env[].valueFrom.fieldRef.apiVersion": "there is one version",
    "spec.containers[].ports[].name": "a name for others to use",
    "spec.enableServiceLinks": "there are no Services",
    "spec.nodeSelector": "the scheduler's: a Pod that fits nowhere waits",
    "spec.nodeName": "must be the one node, else refused",
    "spec.os.name": "linux, else refused",
    "spec.overhead": "the RuntimeClass's, which admission copies; any other is forbidden",
    "spec.preemptionPolicy": "nothing is preempted on one node",
    "spec.priority": "nothing is preempted on one node",
    "spec.priorityClassName": "admission makes a priority of it; one that is not there is forbidden",
    "spec.securityContext.fsGroupChangePolicy": "how, not whether, ownership is changed",
    "spec.serviceAccount": "an older name for serviceAccountName",
    "spec.serviceAccountName": "must be there, else forbidden by admission",
    "spec.schedulingGates[].name": "the scheduler's: a gated Pod waits",
    "spec.schedulerName": "another scheduler binds its own Pods",
    "spec.tolerations[].effect": "the one node is the only choice",
    "spec.tolerations[].key": "the one node is the only choice",
    "spec.tolerations[].operator": "the one node is the only choice",
    "spec.tolerations[].tolerationSeconds": "the one node is the only choice",
    "spec.tolerations[].value": "the one node is the only choice",
}
"""Accepted, and there is nothing to do on one node; those with "else refused" are refused below with another value."""

WITH_ALL_BELOW = (
    "spec.activeDeadlineSeconds",
    "spec.containers[].envFrom[]",
    "spec.containers[].env[].valueFrom.configMapKeyRef",
    "spec.containers[].env[].valueFrom.fileKeyRef",
    "spec.containers[].env[].valueFrom.secretKeyRef",
    "spec.containers[].lifecycle",
    "spec.containers[].livenessProbe",
    "spec.containers[].readinessProbe",
    "spec.containers[].restartPolicy",
    "spec.containers[].restartPolicyRules",
    "spec.containers[].startupProbe",
    "spec.containers[].volumeMounts[].mountPropagation",
    "spec.containers[].volumeMounts[].recursiveReadOnly",
    "spec.containers[].volumeMounts[].subPath",
    "spec.hostUsers",
    "spec.imagePullSecrets",
    "spec.volumes[].configMap",
    "spec.volumes[].downwardAPI",
    "spec.volumes[].image",
    "spec.volumes[].persistentVolumeClaim",
    "spec.volumes[].projected.defaultMode",
    "spec.volumes[].projected.sources[].configMap",
    "spec.volumes[].projected.sources[].downwardAPI",
    "spec.volumes[].projected.sources[].secret",
    "spec.volumes[].projected.sources[].serviceAccountToken",
    "spec.volumes[].secret",
)
"""A kubelet's work as well, each with all that it has below it."""

SCHEDULING = ("spec.affinity.", "spec.topologySpreadConstraints[].")
"""Decides whether the one node will do: tests of scheduling."""

YOUNG = (".defaultUser", ".user", ".grpc.mode", ".httpGet.protocol")
"""Refused wherever they are."""

_SAMPLES: dict[str, Any] = {
    "spec.os.name": "windows",
}


def leaves(kind: Type, path: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Type]]:
    """Each leaf's path and type; a list of scalars and a map are leaves, a type inside itself is not entered again."""
    for name in kind.properties:
        child = kind.field(name)
        assert child is not None
        where = f"{path}.{name}"
        if child.kind == "array" and (item := child.items()) is not None and item.kind == "object":
            child, where = item, f"{where}[]"
        if child.kind == "object":
            if child.name not in above:
                yield from leaves(child, where, (*above, child.name))
        else:
            yield where, child


def all_leaves() -> dict[str, Type]:
    pod_type = type_of("v1", "Pod")
    assert pod_type is not None
    spec = pod_type.field("spec")
    assert spec is not None
    return dict(leaves(spec, "spec"))


LEAVES = all_leaves()


def accepted(path: str) -> bool:
    """An init container is run as any other; ephemeral ones are refused on creation as a whole."""
    path = path.replace("spec.initContainers[]", "spec.containers[]")
    if path.startswith(SCHEDULING):
        return True
    return path in CARRIED_OUT or path in WITHOUT_EFFECT or (path.startswith(WITH_ALL_BELOW) and not path.endswith(YOUNG))


REFUSED = sorted(path for path in LEAVES if not accepted(path))
ELSE_REFUSED = sorted(path for path, why in WITHOUT_EFFECT.items() if why.endswith("else refused"))


def sample(path: str) -> Any:
    kind = LEAVES[path]
    plain = {"boolean": True, "integer": 7, "number": 7, "int-or-string": 7, "quantity": "1", "map": {"a": "1"}, "array": ["x"], "any": {}}
    if kind.kind == "array" and (item := kind.items()) is not None and item.kind == "integer":
        return [7]
    return _SAMPLES.get(path, plain.get(kind.kind, "x"))


def spec_with(path: str) -> Json:
    """A Pod's spec that is right but for what the one leaf brings along."""
    spec: Json = {"containers": [{"name": "c", "image": "x:1"}]}
    node: Json = spec
    *parents, leaf = path.removeprefix("spec.").split(".")
    for part in parents:
        if not part.endswith("[]"):
            node = node.setdefault(part, {})
            continue
        items = node.setdefault(part[:-2], [{}])
        node = items[0]
        if part in ("volumes[]", "volumeMounts[]"):
            node["name"] = "v"
        if part == "volumeMounts[]":
            node["mountPath"] = "/v"
            spec["volumes"] = [{"name": "v", "emptyDir": {}}]
    node[leaf] = sample(path)
    return spec


def within(field: str, path: str) -> bool:
    """Whether a cause's field is the leaf or something above it, deeper than the container, the volume and the like."""
    bare = field.replace("[0]", "[]").replace("[a]", "")
    return bare not in ("spec", "spec.containers[]", "spec.initContainers[]", "spec.volumes[]") and (
        path == bare or path.startswith((f"{bare}.", f"{bare}["))
    )


def test_the_lists_name_fields_that_exist():
    assert (CARRIED_OUT | set(WITHOUT_EFFECT)) - set(LEAVES) == set()
    assert CARRIED_OUT & set(WITHOUT_EFFECT) == set()
    assert len(LEAVES) > 500


@pytest.mark.parametrize("path", [*REFUSED, *ELSE_REFUSED])
async def test_what_is_not_carried_out_is_refused_by_name(api: Api, path: str):
    code, answer = await api("POST", "/api/v1/namespaces/default/pods", pod(**spec_with(path)))
    assert (code, answer["reason"]) == (422, "Invalid"), answer
    causes = answer["details"]["causes"]
    texts = [cause["message"] for cause in causes if within(cause["field"], path)]
    assert texts, causes
    assert all("\n" not in text and len(text) < 300 for text in texts)


def test_what_is_carried_out_is_read_where_pods_are_run():
    package = Path(polong.__file__).parent
    read = "".join(path.read_text() for path in [*(package / "kubelet").rglob("*.py"), package / "objects" / "pod.py"])
    below = {path for path in LEAVES if path.startswith(WITH_ALL_BELOW) and not path.endswith(YOUNG)}
    names = {path.removesuffix("[]").rpartition(".")[2] for path in CARRIED_OUT | below}
    assert {name for name in names if f'"{name}"' not in read} == set()
