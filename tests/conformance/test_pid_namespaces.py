"""Sharing of the process namespace, beyond the page: what KEP-495, the kubelet and the kernel say of shared and isolated Pods."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused, statuses
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

MESSAGE = "ShareProcessNamespace and HostPID cannot both be enabled"


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> str:
    cluster.run(
        pod(
            "shared",
            busybox("one", "exec sleep 100001"),
            busybox("two", "exec sleep 100002"),
            shareProcessNamespace=True,
        )
    )
    return "shared"


def _pid(cluster: Cluster, name: str, container: str, command: str) -> int:
    """Of the first process with exactly this command line, as the container sees it."""
    listing = cluster.sh(name, container, "ps -o pid,args")
    return next(int(line.split()[0]) for line in listing.splitlines() if line.split(None, 1)[1:] == [command])


@pytest.mark.behaviour("pid-api/no-default")
def test_the_field_stays_as_it_was_written(cluster: Cluster) -> None:
    for name, fields in (("absent", {}), ("false", {"shareProcessNamespace": False})):
        made = cluster.create("pods", pod(f"field-{name}", busybox("app", "true"), restartPolicy="Never", **fields), dryRun="All")
        assert made["spec"].get("shareProcessNamespace") == fields.get("shareProcessNamespace")


@pytest.mark.behaviour("pid-api/host-pid-clash", "pid-api/host-pid-false", "pid-api/windows", "pid-api/host-users")
def test_what_may_not_be_together(cluster: Cluster) -> None:
    def refused(**spec: Any) -> list[tuple[str, str]]:
        with pytest.raises(Refused) as caught:
            cluster.create("pods", pod("refused", busybox("app", "true"), **spec), dryRun="All")
        assert caught.value.code == 422
        return [(each["field"], each["message"]) for each in caught.value.causes]

    clash = ("spec.securityContext.shareProcessNamespace", f"Invalid value: true: {MESSAGE}")
    assert refused(shareProcessNamespace=True, hostPID=True) == [clash]
    windows = refused(shareProcessNamespace=False, os={"name": "windows"})
    assert ("spec.shareProcessNamespace", "Forbidden: cannot be set for a windows pod") in windows
    assert any(field.lower() == "spec.hostpid" for field, _ in refused(hostUsers=False, hostPID=True))
    cluster.create("pods", pod("accepted", busybox("app", "true"), shareProcessNamespace=False, hostPID=True), dryRun="All")
    cluster.create("pods", pod("accepted", busybox("app", "true"), shareProcessNamespace=True, hostUsers=False), dryRun="All")


@pytest.mark.behaviour("pid-api/immutable")
def test_it_may_not_change(cluster: Cluster, shared: str) -> None:
    with pytest.raises(Refused) as caught:
        cluster.patch("pods", shared, {"spec": {"shareProcessNamespace": False}})
    assert caught.value.code == 422
    assert "pod updates may not change fields other than" in caught.value.message


@pytest.mark.behaviour("security/shared-see-each-other", "pid-pause/parents")
def test_a_process_has_one_number_for_all(cluster: Cluster, shared: str) -> None:
    first = _pid(cluster, shared, "one", "sleep 100001")
    assert first == _pid(cluster, shared, "two", "sleep 100001") > 1
    stat = cluster.sh(shared, "two", f"cat /proc/{first}/stat").rsplit(")", 1)[1].split()
    assert stat[1] == "0", "its parent is outside of the namespace"


@pytest.mark.behaviour("pid-cri/same-options")
def test_containers_of_every_kind_are_in_the_namespace_of_the_pod(cluster: Cluster) -> None:
    """Shared: one for all of them. Isolated: one for each."""
    note = "readlink /proc/self/ns/pid >> /told/all"
    told = {"volumeMounts": [{"name": "told", "mountPath": "/told"}]}
    inits = [busybox("init", note, **told), busybox("car", f"{note}; exec sleep 1000", restartPolicy="Always", **told)]
    volumes = [{"name": "told", "emptyDir": {}}]
    for name, is_shared in (("kinds-shared", True), ("kinds-isolated", False)):
        app = busybox("app", f"{note}; exec sleep 1000", **told)
        cluster.run(pod(name, app, initContainers=inits, volumes=volumes, shareProcessNamespace=is_shared))
        found = cluster.sh(name, "app", "sleep 0.2; cat /told/all").split()
        assert (len(found), len(set(found))) == (3, 1 if is_shared else 3)


@pytest.mark.behaviour("pid-pause/isolated-zombies")
def test_in_an_isolated_pod_zombies_stay(cluster: Cluster) -> None:
    """An orphan's new parent is the container's own PID 1, which does not ask for it; /pause would."""
    script = "exec 3<&0; sh -c 'sleep 0.2 & exit 0'; exec sleep 100003"
    cluster.create("pods", pod("zombies", busybox("app", script)))
    cluster.create("pods", pod("reaped", busybox("app", script), shareProcessNamespace=True))
    cluster.ready("zombies")
    cluster.ready("reaped")
    eventually(lambda: " Z" in cluster.sh("zombies", "app", "ps -o pid,stat,comm"), "a zombie in the isolated Pod")
    eventually(lambda: "sleep" in cluster.sh("reaped", "app", "ps -o args"), "the shared Pod runs")
    assert " Z" not in cluster.sh("reaped", "app", "ps -o pid,stat,comm")


@pytest.mark.behaviour("pid-stop/default-signals", "pid-stop/main-only")
def test_a_plain_sleep_ends_at_once_when_shared(cluster: Cluster) -> None:
    """It is not PID 1, so SIGTERM has its default effect; as PID 1 it would be ignored until the grace is over."""
    long: Json = {"terminationGracePeriodSeconds": 6}
    cluster.create("pods", pod("quick", busybox("app", "exec sleep 100004"), shareProcessNamespace=True, **long))
    cluster.create("pods", pod("slow", busybox("app", "exec sleep 100005"), **long))
    cluster.ready("quick")
    cluster.ready("slow")
    began = time.monotonic()
    cluster.delete("pods", "quick")
    cluster.delete("pods", "slow")
    cluster.gone("pods", "quick")
    assert time.monotonic() - began < 5
    cluster.gone("pods", "slow")
    assert time.monotonic() - began >= 6


@pytest.mark.behaviour("pid-kubelet/finished")
def test_after_the_last_container_the_sandbox_is_stopped_and_the_object_stays(cluster: Cluster) -> None:
    cluster.create("pods", pod("finished", busybox("app", "exit 0"), shareProcessNamespace=True, restartPolicy="Never"))
    ended = cluster.phase("finished", "Succeeded")
    assert statuses(ended)["app"]["state"]["terminated"]["reason"] == "Completed"
    assert cluster.pod("finished")["metadata"]["uid"] == ended["metadata"]["uid"]


@pytest.mark.behaviour("pid-stop/exec-joins")
def test_what_an_exec_leaves_dies_with_its_container(cluster: Cluster) -> None:
    cluster.run(pod("leaves", busybox("one", "exec sleep 100006"), busybox("two", "exec sleep 100007"), shareProcessNamespace=True))
    cluster.sh("leaves", "one", "(sleep 100008 >/dev/null 2>&1 &) ; true")
    assert "sleep 100008" in cluster.sh("leaves", "two", "ps -o args")
    main = _pid(cluster, "leaves", "two", "sleep 100006")
    cluster.sh("leaves", "two", f"kill {main}")
    cluster.until("leaves", lambda found: statuses(found)["one"]["restartCount"] == 1 and statuses(found)["one"]["ready"], "was restarted")
    assert "sleep 100008" not in cluster.sh("leaves", "two", "ps -o args")
    assert statuses(cluster.pod("leaves"))["two"]["restartCount"] == 0
    assert _pid(cluster, "leaves", "two", "sleep 100006") > main


@pytest.mark.behaviour("pid-stop/own-proc")
def test_each_container_has_a_proc_of_its_own_with_masked_paths(cluster: Cluster, shared: str) -> None:
    for container in ("one", "two"):
        mounts = cluster.sh(shared, container, "cat /proc/mounts").splitlines()
        assert [line for line in mounts if line.split()[1:3] == ["/proc", "proc"]]
        masked = {line.split()[1] for line in mounts if line.split()[1].startswith("/proc/")}
        assert {"/proc/keys", "/proc/timer_list", "/proc/sys"} <= masked
        assert cluster.sh(shared, container, "cat /proc/timer_list | wc -c") == "0"


@pytest.mark.behaviour("pid-api/templates")
def test_the_same_holds_in_templates(cluster: Cluster) -> None:
    spec = pod("x", busybox("app", "true"), shareProcessNamespace=True, hostPID=True)["spec"]
    template: Json = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": {"metadata": {}, "spec": spec}}
    with pytest.raises(Refused) as caught:
        cluster.create("podtemplates", template)
    assert caught.value.code == 422
    (cause,) = caught.value.causes
    assert (cause["field"], cause["message"]) == (
        "template.spec.securityContext.shareProcessNamespace",
        f"Invalid value: true: {MESSAGE}",
    )
    del spec["hostPID"]
    cluster.create("podtemplates", template)


@pytest.mark.behaviour("pid-api/templates")
def test_the_restricted_standard_allows_sharing(cluster: Cluster) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = f"{cluster.namespace}-restricted"
    cluster.create(
        "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}, namespaced=False
    )
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "runAsUser": 1000}
    made = pod("shares", busybox("app", "exec sleep 1000", securityContext=context), shareProcessNamespace=True)
    made["spec"]["securityContext"] = {"seccompProfile": {"type": "RuntimeDefault"}}
    inside = Cluster(cluster.kubeconfig, namespace)
    try:
        inside.run(made)
        with pytest.raises(Refused) as caught:
            inside.create(
                "pods", {**made, "metadata": {"name": "host"}, "spec": {**made["spec"], "shareProcessNamespace": False, "hostPID": True}}
            )
        assert caught.value.code == 403
        assert "hostPID" in caught.value.message
    finally:
        inside.close()
        cluster.delete("namespaces", namespace, namespaced=False)


@pytest.mark.behaviour("pid-kubelet/killing")
def test_containers_are_killed_side_by_side(cluster: Cluster) -> None:
    """Three that ignore SIGTERM take one grace period, not three."""
    stubborn = "trap '' TERM; while :; do sleep 0.2; done"
    names = ("a", "b", "c")
    cluster.run(pod("stubborn", *(busybox(name, stubborn) for name in names), shareProcessNamespace=True, terminationGracePeriodSeconds=4))
    began = time.monotonic()
    cluster.delete("pods", "stubborn")
    cluster.gone("pods", "stubborn")
    assert 4 <= time.monotonic() - began < 8
    told = [each["message"] for each in cluster.events("stubborn") if each["reason"] == "Killing"]
    assert sorted(told) == [f"Stopping container {name}" for name in names]
