"""AppArmor: refused where the kernel has none, as a kubelet does; enforced where it has, between containers of one Pod as well."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, entry
from tests.e2e.cluster import Node, busybox, pod

from polong.linux import apparmor
from polong.oci.apparmor import DEFAULT

Json = dict[str, Any]

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
without = pytest.mark.skipif(apparmor.enabled(), reason="the kernel has AppArmor")
enforcing = pytest.mark.skipif(not apparmor.enabled(), reason="the kernel has no AppArmor")

PROFILE = "polong-test"
DOCUMENT = f"""
profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{
  file,
  network,
  capability,
  signal,
  ptrace,
  deny /tmp/** w,
}}
"""


def confined(name: str, script: str = SLEEP, kind: str = "RuntimeDefault", **more: Any) -> Json:
    profile = {"type": kind} | ({"localhostProfile": more.pop("profile")} if "profile" in more else {})
    return busybox(name, script, securityContext={"appArmorProfile": profile, **more})


def label(cluster: Cluster, name: str, container: str, pid: str = "self") -> str:
    return cluster.sh(name, container, f"cat /proc/{pid}/attr/current").partition(" ")[0]


@pytest.fixture
def profile() -> Iterator[str]:
    """A profile of the test's own, loaded on the host."""
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache"], input=DOCUMENT.encode(), check=True, timeout=30)
    yield PROFILE
    subprocess.run(["apparmor_parser", "--remove"], input=DOCUMENT.encode(), check=True, timeout=30)


@without
@pytest.mark.behaviour("security/apparmor-refused")
def test_a_profile_that_nobody_can_enforce_fails_the_pod(cluster: Cluster) -> None:
    told = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
    old = pod("annotated", busybox("app", SLEEP))
    old["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/app": "runtime/default"}
    for obj in (pod("asked", confined("app")), old):
        name = obj["metadata"]["name"]
        cluster.create("pods", obj)
        status = cluster.phase(name, "Failed")["status"]
        assert (status["reason"], status["message"]) == ("AppArmor", f"Pod was rejected: {told}")
        assert cluster.event(name, "AppArmor")["message"] == told


@without
def test_to_ask_for_none_is_no_hindrance(cluster: Cluster) -> None:
    cluster.run(pod("free", confined("app", kind="Unconfined")))


@enforcing
@pytest.mark.behaviour("security/apparmor")
def test_containers_are_confined_unless_they_say_otherwise(cluster: Cluster, profile: str) -> None:
    cluster.run(
        pod(
            "confined",
            busybox("silent", SLEEP, securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
            confined("asked"),
            confined("free", kind="Unconfined"),
            confined("mine", kind="Localhost", profile=profile),
            shareProcessNamespace=True,
        )
    )
    found = {name: label(cluster, "confined", name) for name in ("silent", "asked", "free", "mine")}
    assert found == {"silent": DEFAULT, "asked": DEFAULT, "free": "unconfined", "mine": profile}
    assert label(cluster, "confined", "free", "1") == DEFAULT, "/pause"
    assert "ermission denied" in cluster.sh("confined", "silent", "mount -t tmpfs none /tmp 2>&1 || true")
    assert "ermission denied" in cluster.sh("confined", "mine", "touch /tmp/x 2>&1 || true")


@enforcing
@pytest.mark.behaviour("security/apparmor-not-loaded")
def test_a_profile_that_is_not_loaded_keeps_the_container_from_being_made(cluster: Cluster) -> None:
    cluster.create("pods", pod("absent", confined("app", kind="Localhost", profile="no-such-profile")))
    found = cluster.until("absent", lambda one: entry(one, "app")["state"].get("waiting", {}).get("message"), "says why it waits")
    waiting = entry(found, "app")["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerError"
    assert waiting["message"] == 'AppArmor profile "no-such-profile" is not loaded'


@enforcing
def test_what_the_profile_refuses_is_computed_as_it_is_tried(cluster: Cluster, node: Node) -> None:
    """The page's own use, between containers of one profile, goes on; from there to one that is confined by none, nothing does."""
    tracer = {"capabilities": {"add": ["SYS_PTRACE"]}}
    cluster.run(
        pod(
            "shared",
            busybox("a", SLEEP, securityContext=tracer),
            busybox("b", SLEEP),
            busybox("free", SLEEP, securityContext={"privileged": True}),
            shareProcessNamespace=True,
        )
    )
    out = node.polong("-n", cluster.namespace, "access", "shared", "--verify")
    assert "all came out as computed" in out
    to_free = node.polong("-n", cluster.namespace, "access", "shared", "--from", "a", "--to", "free")
    assert to_free.count("[apparmor]") == 4, "signal, environment, file system and trace"
    assert "appArmorProfile: {type: Unconfined}" in to_free
    assert "[apparmor]" not in node.polong("-n", cluster.namespace, "access", "shared", "--from", "a", "--to", "b")
