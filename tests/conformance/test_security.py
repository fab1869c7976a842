"""Security contexts, seen from inside the containers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused, statuses
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]

PROGRAM = Path(__file__).with_name("effective_uid.c")


def _secured(name: str, script: str, **context: Any) -> Json:
    return busybox(name, script, securityContext=context)


@pytest.mark.behaviour("security/uid-65534", "security/uid-0", "security/container-user")
def test_users_of_containers(cluster: Cluster) -> None:
    cluster.create(
        "pods",
        pod(
            "users",
            _secured("nobody", "id", runAsUser=65534),
            _secured("root", "id", runAsUser=0),
            _secured("both", "id", runAsUser=1002, runAsGroup=2003),
            securityContext={"runAsUser": 1001, "runAsGroup": 2002},
            restartPolicy="Never",
        ),
    )
    cluster.phase("users", "Succeeded")
    assert cluster.logs("users", "nobody").startswith("uid=65534(nobody) gid=2002")
    assert cluster.logs("users", "root").startswith("uid=0(root) gid=2002")
    assert cluster.logs("users", "both").startswith("uid=1002 gid=2003")


@pytest.mark.behaviour("security/pod-user")
def test_user_of_the_pod(cluster: Cluster) -> None:
    cluster.create(
        "pods", pod("user", busybox("app", "id"), securityContext={"runAsUser": 1001, "runAsGroup": 2002}, restartPolicy="Never")
    )
    cluster.phase("user", "Succeeded")
    assert cluster.logs("user").startswith("uid=1001 gid=2002")


@pytest.mark.behaviour("security/unprivileged", "security/writable-root")
def test_what_an_ordinary_container_may(cluster: Cluster) -> None:
    cluster.create(
        "pods",
        pod(
            "ordinary",
            _secured("link", "ip link add dummy0 type dummy 2>&1; true", privileged=False),
            _secured("write", "touch /checkfile && echo written", readOnlyRootFilesystem=False),
            restartPolicy="Never",
        ),
    )
    cluster.phase("ordinary", "Succeeded")
    assert "Operation not permitted" in cluster.logs("ordinary", "link")
    assert cluster.logs("ordinary", "write") == "written\n"


@pytest.mark.behaviour("security/readonly-root")
def test_a_read_only_root(cluster: Cluster) -> None:
    cluster.create("pods", pod("readonly", _secured("app", "touch /checkfile", readOnlyRootFilesystem=True), restartPolicy="Never"))
    ended = cluster.phase("readonly", "Failed")
    assert statuses(ended)["app"]["state"]["terminated"]["exitCode"] == 1
    assert "Read-only file system" in cluster.logs("readonly")


@pytest.fixture(scope="module")
def setuid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with `effective-uid`, which belongs to root and is set-user-ID."""
    directory = tmp_path_factory.mktemp("setuid")
    for each in (directory, *directory.parents[:2]):
        each.chmod(0o755)
    program = directory / "effective-uid"
    subprocess.run(["gcc", "-O1", "-static", "-o", str(program), str(PROGRAM)], check=True, timeout=60)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    yield directory
    program.unlink()


@pytest.mark.behaviour("security/no-escalation", "security/escalation")
def test_whether_a_set_user_id_program_becomes_root(cluster: Cluster, setuid: Path) -> None:
    mount = {"volumeMounts": [{"name": "bin", "mountPath": "/suid"}]}
    script = "/suid/effective-uid"
    cluster.create(
        "pods",
        pod(
            "escalation",
            {**_secured("denied", script, runAsUser=1000, allowPrivilegeEscalation=False), **mount},
            {**_secured("allowed", script, runAsUser=1000, allowPrivilegeEscalation=True), **mount},
            {**_secured("unset", script, runAsUser=1000), **mount},
            volumes=[{"name": "bin", "hostPath": {"path": str(setuid)}}],
            restartPolicy="Never",
        ),
    )
    cluster.phase("escalation", "Succeeded")
    assert cluster.logs("escalation", "denied") == "Effective uid: 1000\n"
    assert cluster.logs("escalation", "allowed") == "Effective uid: 0\n"
    assert cluster.logs("escalation", "unset") == "Effective uid: 0\n"


@pytest.mark.behaviour("security/run-as-nonroot")
def test_run_as_non_root(cluster: Cluster) -> None:
    cluster.create("pods", pod("nonroot", _secured("app", "id -u", runAsNonRoot=True, runAsUser=1000), restartPolicy="Never"))
    cluster.create("pods", pod("explicit", _secured("app", "id", runAsNonRoot=True, runAsUser=0), restartPolicy="Never"))
    cluster.create("pods", pod("image", _secured("app", "id", runAsNonRoot=True), restartPolicy="Never"))
    cluster.phase("nonroot", "Succeeded")
    assert cluster.logs("nonroot") == "1000\n"
    for name, why in (("explicit", "container's runAsUser breaks non-root policy"), ("image", "image will run as root")):
        cluster.until(
            name,
            lambda found: statuses(found).get("app", {}).get("state", {}).get("waiting", {}).get("reason") == "CreateContainerConfigError",
            "is refused",
        )
        event = cluster.event(name, "Failed")
        assert event["type"] == "Warning"
        assert why in event["message"]


@pytest.mark.behaviour("security/host-namespaces")
def test_the_hosts_namespaces_are_seen_by_those_who_asked(cluster: Cluster) -> None:
    """A process of one Pod, and the namespaces themselves."""
    probe = "sleep 1000"
    cluster.create("pods", pod("host-one", busybox("app", "exec sleep 54321"), hostPID=True))
    cluster.create("pods", pod("host-two", busybox("app", probe), hostPID=True, hostIPC=True, hostNetwork=True))
    cluster.create("pods", pod("own", busybox("app", probe)))
    for name in ("host-one", "host-two", "own"):
        cluster.ready(name)
    assert "sleep 54321" in cluster.sh("host-two", "app", "ps -o args")
    assert "sleep 54321" not in cluster.sh("own", "app", "ps -o args")
    kinds = ("pid", "ipc", "net")
    host = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds]
    look = f"for k in {' '.join(kinds)}; do readlink /proc/self/ns/$k; done"
    assert cluster.sh("host-two", "app", look).splitlines() == host
    assert not set(cluster.sh("own", "app", look).splitlines()) & set(host)


@pytest.mark.behaviour("security/supplemental-groups")
@pytest.mark.parametrize(("policy", "groups"), [("Merge", [33, 100, 60000]), ("Strict", [33, 60000]), (None, [33, 100, 60000])])
def test_groups_of_the_image_are_merged_or_not(cluster: Cluster, policy: str | None, groups: list[int]) -> None:
    """The image's /etc/group says that user 33 is in group 100."""
    context = {"runAsUser": 33, "runAsGroup": 33, "supplementalGroups": [60000]}
    if policy is not None:
        context["supplementalGroupsPolicy"] = policy
    name = f"groups-{(policy or 'default').lower()}"
    told = cluster.run(pod(name, busybox("c", "exec sleep 1000"), securityContext=context))
    assert sorted(map(int, cluster.sh(name, "c", "id -G").split())) == groups
    user = told["status"]["containerStatuses"][0]["user"]["linux"]
    assert (user["uid"], user["gid"], sorted(user["supplementalGroups"])) == (33, 33, groups)


def test_the_node_says_that_it_knows_the_policy(cluster: Cluster) -> None:
    (node,) = cluster.list("nodes", namespaced=False)
    assert node["status"]["features"]["supplementalGroupsPolicy"] is True
    with pytest.raises(Refused, match="Unsupported value"):
        cluster.create("pods", pod("odd", busybox("c", "exit 0"), securityContext={"supplementalGroupsPolicy": "Some"}))
