"""Pod Security admission: labels of namespaces, the standards word for word, warnings, ephemeral containers."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from polong.api.admission.podsecuritystandards import LATEST, evaluate
from polong.api.service import MASTERS, Request, User

from .conftest import Api, pod

Json = dict[str, Any]

MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
LABEL = "pod-security.kubernetes.io/"
PODS = "/api/v1/namespaces/n/pods"


def one(**context: Any) -> Json:
    return {"containers": [{"name": "c", "image": "x", "securityContext": context}]}


GOOD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def strict(**more: Any) -> Json:
    return one(**{**GOOD, **more})


async def namespace(api: Api, **labels: str) -> None:
    named = {f"{LABEL}{name.replace('_', '-')}": value for name, value in labels.items()}
    code, answer = await api("POST", "/api/v1/namespaces", {"metadata": {"name": "n", "labels": named}})
    assert code == 201, answer


@pytest.mark.parametrize(
    ("level", "spec", "expected"),
    [
        ("baseline", one(), []),
        ("baseline", {**one(), "hostPID": True, "hostNetwork": True}, ["host namespaces (hostNetwork=true, hostPID=true)"]),
        ("baseline", {**one(), "shareProcessNamespace": True}, []),
        ("baseline", one(privileged=True), ['privileged (container "c" must not set securityContext.privileged=true)']),
        ("baseline", one(capabilities={"add": ["SYS_PTRACE", "CHOWN"]}),
         ['non-default capabilities (container "c" must not include "SYS_PTRACE" in securityContext.capabilities.add)']),
        ("baseline", {**one(), "volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/"}}]},
         ['hostPath volumes (volumes "a", "b")']),
        ("baseline", {"containers": [{"name": "c", "ports": [{"hostPort": 80}, {"hostPort": 81}]}]},
         ['hostPorts (container "c" uses hostPorts 80, 81)']),
        ("baseline", one(procMount="Unmasked"), ['procMount (container "c" must not set securityContext.procMount to "Unmasked")']),
        ("baseline", {**one(seccompProfile={"type": "Unconfined"}), "securityContext": {"seccompProfile": {"type": "Unconfined"}}},
         ['seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to "Unconfined")']),
        ("baseline", {**one(), "securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
         ['forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")']),
        ("baseline", {**one(), "securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "kernel.shm_rmid_forced"}]}},
         ["forbidden sysctls (kernel.msgmax)"]),
        ("restricted", strict(), []),
        ("restricted", one(), [
            'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
            'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"])',
            'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
            'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")']),
        ("restricted", strict(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}), []),
        ("restricted", strict(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}),
         ['unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)']),
        ("restricted", {**strict(), "volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "projected": {}}]},
         ['restricted volume types (volume "v" uses restricted volume type "hostPath")']),
        ("restricted", {**strict(runAsNonRoot=None), "securityContext": {"runAsNonRoot": True}}, []),
        ("restricted", {**strict(), "securityContext": {"runAsNonRoot": False}},
         ["runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"]),
        ("restricted", strict(runAsUser=0), ['runAsUser=0 (container "c" must not set runAsUser=0)']),
        ("restricted", strict(seccompProfile={"type": "Unconfined"}),
         ['seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")']),
        ("privileged", one(privileged=True), []),
    ],
)  # fmt: skip
def test_the_standards(level: str, spec: Json, expected: list[str]) -> None:
    assert [str(found) for found in evaluate(level, LATEST, spec)] == expected


@pytest.mark.parametrize("field", ["initContainers", "containers", "ephemeralContainers"])
def test_no_kind_of_container_is_forgotten(field: str) -> None:
    spec = {field: [{"name": "c", "securityContext": {"privileged": True}}]}
    assert [found.reason for found in evaluate("baseline", LATEST, spec)] == ["privileged"]
    assert "privileged" in [found.reason for found in evaluate("restricted", LATEST, spec)]


def test_versions() -> None:
    spec = {**one(), "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}
    assert [bool(evaluate("baseline", minor, spec)) for minor in (31, 32)] == [True, False]
    assert [bool(evaluate("restricted", minor, strict(runAsUser=0))) for minor in (22, 23)] == [False, True]


async def test_enforced(api: Api) -> None:
    await namespace(api, enforce="restricted", enforce_version="v1.30")
    code, answer = await api("POST", PODS, pod())
    assert (code, answer["reason"]) == (403, "Forbidden")
    assert answer["message"].startswith('pods "p" is forbidden: violates PodSecurity "restricted:v1.30": allowPrivilegeEscalation != false')
    assert (await api("POST", PODS, pod(**strict())))[0] == 201
    assert (await api("POST", "/api/v1/namespaces/default/pods", pod(hostPID=True)))[0] == 201


async def test_debuggers_are_not_forgotten(api: Api) -> None:
    await namespace(api, enforce="baseline")
    await api("POST", PODS, pod())
    body = {"spec": {"ephemeralContainers": [{"name": "d", "image": "x", "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}]}}
    code, answer = await api("PATCH", f"{PODS}/p/ephemeralcontainers", body, headers=STRATEGIC)
    assert (code, 'must not include "SYS_PTRACE"' in answer["message"]) == (403, True)
    # What has nothing to do with it is let through.
    assert (await api("PATCH", f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}}, headers=MERGE))[0] == 200


async def test_warnings_and_notes(api: Api) -> None:
    await namespace(api, warn="baseline", audit="restricted", enforce="privileged")
    request = Request("POST", PODS, (), {}, pod(hostPID=True), User("a", (MASTERS,)))
    response = await api.service.handle(request)
    assert response.status == 201
    assert 'would violate PodSecurity \\"baseline:latest\\": host namespaces (hostPID=true)' in response.headers["Warning"]
    assert 'would violate PodSecurity "restricted:latest": host namespaces' in request.notes[f"{LABEL}audit-violations"]
    assert f"{LABEL}enforce-policy" not in request.notes


async def test_labels(api: Api) -> None:
    bad = {"metadata": {"name": "m", "labels": {f"{LABEL}enforce": "strict", f"{LABEL}warn-version": "1.2"}}}
    code, answer = await api("POST", "/api/v1/namespaces", bad)
    assert code == 422
    messages = {cause["field"]: cause["message"] for cause in answer["details"]["causes"]}
    assert messages == {
        f"metadata.labels[{LABEL}enforce]": 'Invalid value: "strict": must be one of privileged, baseline, restricted',
        f"metadata.labels[{LABEL}warn-version]": 'Invalid value: "1.2": must be "latest" or "v1.x"',
    }


async def test_who_would_not_be_let_in_any_more(api: Api) -> None:
    await namespace(api)
    for name in ("a", "b", "c"):
        await api("POST", PODS, deepcopy(pod(name, hostPID=True)))
    await api("POST", PODS, pod("d", **one(privileged=True)))
    patch = {"metadata": {"labels": {f"{LABEL}enforce": "baseline"}}}
    response = await api.respond("PATCH", "/api/v1/namespaces/n", patch, headers=MERGE)
    warning = response.headers["Warning"].replace("\\", "")
    assert 'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"' in warning
    assert "a (and 2 other pods): host namespaces" in warning
    assert "d: privileged" in warning
