"""kubectl debug, with the newest kubectl that is here: targets, copies, profiles, nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, statuses
from tests.e2e.cluster import Client, Node, any_kubectl, busybox, eventually, pod

Json = dict[str, Any]

IMAGE = ("--image=busybox:1.28", "--image-pull-policy=IfNotPresent")


@pytest.fixture(scope="module")
def kubectl(node: Node) -> Client:
    program = any_kubectl()
    if program is None:
        pytest.skip("kubectl is not installed")
    return node.client(program)


@pytest.fixture(scope="module")
def app(cluster: Cluster) -> str:
    cluster.run(pod("app", busybox("app", "exec sleep 200001")))
    return "app"


def _debugger(cluster: Cluster, name: str, container: str) -> Json:
    found = cluster.until(
        name, lambda each: "running" in statuses(each, "ephemeralContainerStatuses").get(container, {}).get("state", {}), "is debugged"
    )
    spec: Json = next(each for each in found["spec"]["ephemeralContainers"] if each["name"] == container)
    return spec


@pytest.mark.behaviour("debug/target", "debug/profiles")
def test_a_target_and_its_words(kubectl: Client, cluster: Cluster, app: str) -> None:
    inside = ("-n", cluster.namespace)
    done = kubectl.try_("debug", *inside, app, *IMAGE, "--target=app", "-c", "aim", "--profile=general", "--", "sleep", "1000")
    assert done.returncode == 0, done.stderr
    assert 'Targeting container "app"' in done.stdout + done.stderr
    spec = _debugger(cluster, app, "aim")
    assert spec["targetContainerName"] == "app"
    assert spec["securityContext"]["capabilities"]["add"] == ["SYS_PTRACE"]
    assert "sleep 200001" in cluster.sh(app, "aim", "cat /proc/1/cmdline | tr '\\0' ' '")
    refused = kubectl.try_("debug", *inside, app, *IMAGE, "--target=app", "--copy-to=x")
    assert refused.returncode != 0
    assert "--target is incompatible with --copy-to" in refused.stderr
    wrong = kubectl.try_("debug", *inside, app, *IMAGE, "--target=nobody", "-c", "miss")
    assert 'targetContainerName: Not found: "nobody"' in wrong.stderr


@pytest.mark.behaviour("debug/profiles")
@pytest.mark.parametrize(
    ("profile", "wanted"),
    [
        ("baseline", {}),
        ("restricted", {"runAsNonRoot": True, "allowPrivilegeEscalation": False}),
        ("netadmin", {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}),
        ("sysadmin", {"privileged": True}),
    ],
)
def test_profiles(kubectl: Client, cluster: Cluster, app: str, profile: str, wanted: Json) -> None:
    kubectl("debug", "-n", cluster.namespace, app, *IMAGE, "-c", profile, f"--profile={profile}", "--", "sleep", "1000")

    def known(found: Json) -> bool:
        status = statuses(found, "ephemeralContainerStatuses").get(profile, {}).get("state", {})
        return "running" in status or (profile == "restricted" and "waiting" in status)

    found = cluster.until(app, known, f"is debugged by {profile}")
    context = next(each for each in found["spec"]["ephemeralContainers"] if each["name"] == profile).get("securityContext") or {}
    assert {key: context.get(key) for key in wanted} == wanted


@pytest.mark.behaviour("debug/copy-shares")
@pytest.mark.parametrize(
    ("name", "flags", "shares"),
    [
        ("copy-general", ["--profile=general"], True),
        ("copy-no", ["--profile=general", "--share-processes=false"], False),
        ("copy-legacy", ["--profile=legacy"], None),
        ("copy-asked", ["--profile=legacy", "--share-processes"], True),
    ],
)
def test_a_copy_shares_by_profile_and_flag(
    kubectl: Client, cluster: Cluster, app: str, name: str, flags: list[str], shares: bool | None
) -> None:
    kubectl("debug", "-n", cluster.namespace, app, *IMAGE, f"--copy-to={name}", *flags, "-c", "dbg", "--", "sleep", "1000")
    made = cluster.ready(name)
    assert made["spec"].get("shareProcessNamespace") == shares
    seen = cluster.sh(name, "dbg", "ps -o args")
    assert ("sleep 200001" in seen) is bool(shares)


@pytest.mark.behaviour("debug/copy-host-pid")
def test_a_copy_of_a_host_pid_pod_is_refused(kubectl: Client, cluster: Cluster) -> None:
    cluster.run(pod("hosted", busybox("app", "exec sleep 1000"), hostPID=True))
    done = kubectl.try_("debug", "-n", cluster.namespace, "hosted", *IMAGE, "--copy-to=both", "--profile=general", "--", "sleep", "1")
    assert done.returncode != 0
    assert "ShareProcessNamespace and HostPID cannot both be enabled" in done.stderr


@pytest.mark.behaviour("debug/replace")
def test_replace_and_what_is_kept(kubectl: Client, cluster: Cluster) -> None:
    made = pod("old", busybox("app", "exec sleep 1000"))
    made["metadata"]["labels"] = {"a": "b"}
    node = cluster.run(made)["spec"]["nodeName"]
    flags = ("--replace", "--same-node", "--keep-labels", "--profile=general")
    kubectl("debug", "-n", cluster.namespace, "old", *IMAGE, "--copy-to=new", *flags, "-c", "dbg", "--", "sleep", "1000")
    copied = cluster.ready("new")
    assert copied["spec"]["nodeName"] == node
    assert copied["metadata"]["labels"] == {"a": "b"}
    cluster.gone("pods", "old")


@pytest.mark.behaviour("debug/node")
def test_a_node(kubectl: Client, cluster: Cluster) -> None:
    (node,) = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").split()
    kubectl("debug", "-n", cluster.namespace, f"node/{node}", *IMAGE, "--profile=sysadmin", "--", "sleep", "1000")
    (made,) = [each for each in cluster.list("pods") if each["metadata"]["name"].startswith("node-debugger-")]
    name = made["metadata"]["name"]
    cluster.ready(name)
    spec = made["spec"]
    assert (spec["hostPID"], spec["hostNetwork"], spec["hostIPC"]) == (True, True, True)
    eventually(lambda: "os-release" in cluster.sh(name, "debugger", "ls /host/etc"), "the host's files")
    assert json.dumps(spec["volumes"]).count('"hostPath"') == 1
