"""In-place resize on real cgroups (KEP-1287): what /resize is told is in the kernel and in the status, with a restart only where asked."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused, condition
from tests.e2e.cluster import Node, any_kubectl, busybox, eventually, pod

from polong.linux.cgroups import V2, Cgroups

Json = dict[str, Any]

GROUPS = Cgroups()
MI = 1 << 20


def sized(name: str, requests: Json | None = None, limits: Json | None = None, script: str = "exec sleep 1000", **fields: Any) -> Json:
    resources = {part: amounts for part, amounts in (("requests", requests), ("limits", limits)) if amounts}
    return busybox(name, script, resources=resources, **fields)


def kernel(node: Node, made: Json, container: str = "") -> tuple[int, int, int]:
    """CPU shares (v2: weight), quota in microseconds for each 100 ms (0: none) and bytes of memory (0: none); of the Pod's cgroup where
    no container is named."""
    processes = node.polong.json("ps", made["metadata"]["name"], "-n", made["metadata"]["namespace"])["items"]
    wanted = next(each for each in processes if each["container"] == container or not container)
    path = wanted["cgroup"] if container else wanted["cgroup"].rpartition("/")[0]
    return limits_of(path)


def limits_of(path: str) -> tuple[int, int, int]:
    def read(controller: str, file: str) -> str:
        tree = GROUPS.layout.unified if GROUPS.layout.kind == V2 else GROUPS.layout.controllers[controller]
        return (tree / path.lstrip("/") / file).read_text().strip()

    if GROUPS.layout.kind == V2:
        quota, memory = read("cpu", "cpu.max").split()[0], read("memory", "memory.max")
        return int(read("cpu", "cpu.weight")), 0 if quota == "max" else int(quota), 0 if memory == "max" else int(memory)
    quota, memory = read("cpu", "cpu.cfs_quota_us"), int(read("memory", "memory.limit_in_bytes"))
    return int(read("cpu", "cpu.shares")), max(int(quota), 0), 0 if memory > 1 << 60 else memory


def resize(cluster: Cluster, name: str, containers: Json, field: str = "containers") -> Json:
    change = {"spec": {field: [{"name": each, "resources": resources} for each, resources in containers.items()]}}
    return cluster.patch("pods", name, change, "resize")


def settled(cluster: Cluster, name: str) -> Json:
    """The Pod, once every container has what its spec says and no condition tells of a resize."""

    def has_it(found: Json) -> bool:
        status = found["status"]
        if condition(found, "PodResizePending") or condition(found, "PodResizeInProgress"):
            return False
        entries = {each["name"]: each for key in ("containerStatuses", "initContainerStatuses") for each in status.get(key) or ()}
        wanted = [*found["spec"]["containers"], *(found["spec"].get("initContainers") or ())]
        return all(entries[each["name"]].get("resources") == each["resources"] and entries[each["name"]]["ready"] for each in wanted)

    return cluster.until(name, has_it, "has what it asked for")


def restarts(found: Json) -> list[int]:
    return [each["restartCount"] for each in found["status"]["containerStatuses"]]


@pytest.mark.behaviour("resize/various")
def test_six_containers_are_resized_at_once(cluster: Cluster, node: Node) -> None:
    first = {f"c{n}": ({"cpu": f"{10 + n}m", "memory": f"{20 + n}Mi"}, {"cpu": f"{100 + n}m", "memory": f"{40 + n}Mi"}) for n in range(4)}
    bare = [sized("c4", {"cpu": "10m"}), sized("c5", {"memory": "8Mi"})]
    made = cluster.run(pod("six", *(sized(name, *both) for name, both in first.items()), *bare))
    started = [each["state"]["running"]["startedAt"] for each in made["status"]["containerStatuses"]]
    assert made["status"]["containerStatuses"][0]["allocatedResources"] == {"cpu": "10m", "memory": "20Mi"}
    assert kernel(node, made, "c0") == (10, 10_000, 40 * MI)
    generation = made["metadata"]["generation"]
    answer = resize(
        cluster,
        "six",
        {
            "c0": {"requests": {"cpu": "20m"}, "limits": {"cpu": "200m"}},
            "c1": {"requests": {"cpu": "5m", "memory": "10Mi"}, "limits": {"cpu": "50m"}},
            "c2": {"requests": {"memory": "30Mi"}, "limits": {"memory": "80Mi"}},
            "c3": {"limits": {"cpu": "150m", "memory": "60Mi"}},
            "c4": {"requests": {"cpu": "30m", "memory": "12Mi"}, "limits": {"memory": "24Mi"}},
            "c5": {"requests": {"cpu": "7m"}},
        },
    )
    assert answer["metadata"]["generation"] == generation + 1
    found = settled(cluster, "six")
    assert kernel(node, found, "c0") == (20, 20_000, 40 * MI)
    assert kernel(node, found, "c1") == (5, 5_000, 41 * MI)
    assert kernel(node, found, "c2") == (12, 10_200, 80 * MI)
    assert kernel(node, found, "c3") == (13, 15_000, 60 * MI)
    assert kernel(node, found, "c4") == (30, 0, 24 * MI)
    assert kernel(node, found, "c5")[0] == 7
    assert kernel(node, found)[0] == (20 + 5 + 12 + 13 + 30 + 7) * 1024 // 1000
    assert restarts(found) == [0] * 6
    assert [each["state"]["running"]["startedAt"] for each in found["status"]["containerStatuses"]] == started
    cluster.until("six", lambda seen: seen["status"]["observedGeneration"] == generation + 1, "the new generation was seen")
    told = [each["reason"] for each in cluster.list("events", fieldSelector="involvedObject.name=six")]
    eventually(lambda: "ResizeCompleted" in told or told.extend(each["reason"] for each in cluster.list("events")), "the events")
    assert "ResizeStarted" in told


@pytest.mark.behaviour("resize/equivalents")
def test_what_rounds_to_the_same_is_taken(cluster: Cluster, node: Node) -> None:
    made = cluster.run(pod("tiny", sized("c", {"cpu": "2m"}, {"cpu": "10m"})))
    assert kernel(node, made, "c") == (2, 1000, 0)
    resize(cluster, "tiny", {"c": {"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}}})
    found = settled(cluster, "tiny")
    assert found["status"]["containerStatuses"][0]["resources"] == {"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}}
    assert (kernel(node, found, "c"), restarts(found)) == ((2, 1000, 0), [0])


@pytest.mark.behaviour("resize/replace")
def test_a_put_of_resize(cluster: Cluster, node: Node) -> None:
    cluster.run(pod("put", sized("c", {"cpu": "10m", "memory": "16Mi"}, {"cpu": "20m", "memory": "32Mi"})))
    current = cluster.get("pods", "put", "resize")
    current["spec"]["containers"][0]["resources"] = {
        "requests": {"cpu": "15m", "memory": "20Mi"},
        "limits": {"cpu": "30m", "memory": "40Mi"},
    }
    current["spec"]["containers"][0]["image"] = "elsewhere:1"
    cluster.replace("pods", current, "resize")
    found = settled(cluster, "put")
    assert found["spec"]["containers"][0]["image"] == "busybox:1.28"
    assert kernel(node, found, "c") == (15, 3000, 40 * MI)
    assert kernel(node, found) == (15, 3000, 40 * MI)
    assert cluster.get("pods", "put", "resize") == cluster.pod("put")


@pytest.mark.behaviour("resize/conditions")
def test_deferred_until_there_is_room_and_infeasible(cluster: Cluster, node: Node) -> None:
    allocatable = cluster.list("nodes", namespaced=False)[0]["status"]["allocatable"]
    cores = int(allocatable["cpu"])
    cluster.run(pod("crowd", sized("c", {"cpu": f"{cores * 1000 - 700}m"})))
    cluster.run(pod("wants", sized("c", {"cpu": "10m"})))
    resize(cluster, "wants", {"c": {"requests": {"cpu": "800m"}}})
    found = cluster.until("wants", lambda seen: condition(seen, "PodResizePending") == "True", "waits")
    told = next(each for each in found["status"]["conditions"] if each["type"] == "PodResizePending")
    assert (told["reason"], told["observedGeneration"]) == ("Deferred", found["metadata"]["generation"])
    assert told["message"].startswith("Node didn't have enough resource: cpu, requested: 800, used: ")
    assert found["status"]["containerStatuses"][0]["resources"] == {"requests": {"cpu": "10m"}}
    assert found["status"]["containerStatuses"][0]["allocatedResources"] == {"cpu": "10m"}
    assert kernel(node, found, "c")[0] == 10
    # What it asks for is kept for it: a newcomer does not get it.
    cluster.create("pods", pod("late", sized("c", {"cpu": "600m"})))
    cluster.until("late", lambda seen: condition(seen, "PodScheduled") == "False", "finds no place")
    cluster.delete("pods", "crowd", grace=0)
    assert kernel(node, settled(cluster, "wants"), "c")[0] == 800 * 1024 // 1000
    cluster.ready("late")
    resize(cluster, "wants", {"c": {"requests": {"cpu": f"{cores + 1}"}}})
    found = cluster.until("wants", lambda seen: condition(seen, "PodResizePending") == "True", "is refused")
    told = next(each for each in found["status"]["conditions"] if each["type"] == "PodResizePending")
    assert told["reason"] == "Infeasible"
    assert told["message"] == f"Node didn't have enough capacity: cpu, requested: {(cores + 1) * 1000}, capacity: {cores * 1000}"
    # And back: nothing is left of it.
    resize(cluster, "wants", {"c": {"requests": {"cpu": "20m"}}})
    assert kernel(node, settled(cluster, "wants"), "c")[0] == 20
    assert restarts(cluster.pod("wants")) == [0]


@pytest.mark.behaviour("resize/conditions")
def test_less_memory_than_is_used_waits_for_the_container(cluster: Cluster, node: Node) -> None:
    script = "head -c 30000000 /dev/zero > /dev/shm/ballast; trap 'rm /dev/shm/ballast' USR1; while :; do sleep 0.1; done"
    volumes = {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}]}
    mounted = {"volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}
    both = {"memory": "80Mi"}
    cluster.run(pod("full", sized("c", {"memory": "10Mi"}, both, script, **mounted), **volumes))
    eventually(lambda: "ballast" in cluster.sh("full", "c", "ls -l /dev/shm | grep 30000000 || true"), "memory is used")
    resize(cluster, "full", {"c": {"limits": {"memory": "20Mi"}}})
    found = cluster.until("full", lambda seen: "below current usage" in json.dumps(seen["status"].get("conditions")), "is said")
    told = next(each for each in found["status"]["conditions"] if each["type"] == "PodResizeInProgress")
    assert (told["status"], told["reason"]) == ("True", "Error")
    assert told["message"].startswith(f'attempting to set container "c" memory limit ({20 * MI}) below current usage (')
    assert found["status"]["containerStatuses"][0]["resources"]["limits"] == both
    assert kernel(node, found, "c")[2] == 80 * MI
    cluster.sh("full", "c", "kill -USR1 1")
    found = settled(cluster, "full")
    assert (kernel(node, found, "c")[2], restarts(found)) == (20 * MI, [0])


@pytest.mark.behaviour("resize/conditions")
def test_a_policy_restarts_and_sidecars_follow(cluster: Cluster, node: Node) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    sidecar = sized("side", {"cpu": "10m", "memory": "8Mi"}, {"memory": "16Mi"}, restartPolicy="Always")
    main = sized(
        "c", {"cpu": "10m", "memory": "16Mi"}, {"memory": "32Mi"}, "trap 'exit 0' TERM; while :; do sleep 0.1; done", resizePolicy=policy
    )
    cluster.run(pod("policy", main, initContainers=[{"imagePullPolicy": "IfNotPresent", **sidecar}]))
    resize(cluster, "policy", {"c": {"requests": {"cpu": "20m"}}})
    found = settled(cluster, "policy")
    assert (restarts(found), kernel(node, found, "c")[0]) == ([0], 20)
    resize(cluster, "policy", {"c": {"limits": {"memory": "64Mi"}}})
    found = settled(cluster, "policy")
    assert (restarts(found), kernel(node, found, "c")[2]) == ([1], 64 * MI)
    resize(cluster, "policy", {"side": {"requests": {"cpu": "30m"}, "limits": {"memory": "24Mi"}}}, "initContainers")
    found = settled(cluster, "policy")
    assert kernel(node, found, "side") == (30, 0, 24 * MI)
    assert found["status"]["initContainerStatuses"][0]["restartCount"] == 0
    events = {each["message"] for each in cluster.list("events", fieldSelector="involvedObject.name=policy")}
    assert "Container c resize requires restart" in events


@pytest.mark.behaviour("resize/conditions")
def test_refusals(cluster: Cluster) -> None:
    cluster.run(pod("refused", sized("c", {"cpu": "10m"}), sized("d")))
    for containers, message in (
        ({"c": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "10m", "memory": "8Mi"}},
          "d": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "10m", "memory": "8Mi"}}},
         "Pod QOS Class may not change as a result of resizing"),
        ({"c": {"requests": {"cpu": None}}}, "resource requests cannot be removed"),
        ({"c": {"limits": {"cpu": "1m"}}}, "must be less than or equal to cpu limit of 1m"),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            resize(cluster, "refused", containers)
        assert (refused.value.code, message in refused.value.message) == (422, True), refused.value


@pytest.mark.behaviour("resize/conditions")
def test_quotas_and_limit_ranges_count_resizes(cluster: Cluster) -> None:
    cluster.run(pod("counted", sized("c", {"cpu": "10m"})))
    limits = [{"type": "Container", "max": {"cpu": "50m"}, "default": {"cpu": "50m"}}]
    cluster.create("limitranges", {"metadata": {"name": "most"}, "spec": {"limits": limits}})
    try:
        with pytest.raises(Refused) as refused:
            resize(cluster, "counted", {"c": {"requests": {"cpu": "40m"}, "limits": {"cpu": "60m"}}})
        assert "maximum cpu usage per Container is 50m, but limit is 60m" in refused.value.message
    finally:
        cluster.delete("limitranges", "most")
    used = sum(1 for _ in cluster.list("pods"))
    cluster.create("resourcequotas", {"metadata": {"name": "room"}, "spec": {"hard": {"requests.cpu": "1500m", "pods": str(used + 10)}}})
    try:
        with pytest.raises(Refused) as refused:
            resize(cluster, "counted", {"c": {"requests": {"cpu": "1600m"}}})
        assert (refused.value.code, "exceeded quota: room" in refused.value.message) == (403, True)
    finally:
        cluster.delete("resourcequotas", "room")


@pytest.mark.behaviour("resize/replace")
@pytest.mark.kubectl
def test_kubectl_resizes(cluster: Cluster, node: Node) -> None:
    program = any_kubectl()
    assert program is not None
    kubectl = node.client(program)
    cluster.run(pod("by-hand", sized("c", {"cpu": "10m"}, {"cpu": "20m"})))
    change = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "15m"}, "limits": {"cpu": "50m"}}}]}}
    where = ("-n", cluster.namespace, "pod", "by-hand")
    assert kubectl("patch", *where, "--subresource", "resize", "-p", json.dumps(change)) == "pod/by-hand patched\n"
    assert kernel(node, settled(cluster, "by-hand"), "c") == (15, 5000, 0)
    edited = subprocess.run(
        [str(program), "edit", *where, "--subresource", "resize"],
        env={**kubectl.env, "EDITOR": "sed -i 's/cpu: 50m/cpu: 60m/'", "KUBE_EDITOR": "sed -i 's/cpu: 50m/cpu: 60m/'"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert edited.returncode == 0, edited.stderr
    assert kernel(node, settled(cluster, "by-hand"), "c") == (15, 6000, 0)
    assert kubectl("get", *where, "--subresource", "resize", "-o", "jsonpath={.spec.containers[0].resources.limits.cpu}") == "60m"
    plain = kubectl.try_("patch", *where, "-p", json.dumps(change))
    assert (plain.returncode, "pod updates may not change fields other than" in plain.stderr) == (1, True)


@pytest.mark.slow
@pytest.mark.behaviour("resize/conditions")
def test_a_daemon_that_comes_back_keeps_its_word(cluster: Cluster, node: Node) -> None:
    cluster.run(pod("kept", sized("c", {"cpu": "10m"})))
    resize(cluster, "kept", {"c": {"requests": {"cpu": "25m"}}})
    settled(cluster, "kept")
    resize(cluster, "kept", {"c": {"requests": {"cpu": "99"}}})
    cluster.until("kept", lambda seen: condition(seen, "PodResizePending") == "True", "is refused")
    node.polong("down", "--keep-pods")
    node.polong("up")
    found = cluster.until("kept", lambda seen: condition(seen, "PodResizePending") == "True", "is still refused")
    assert (kernel(node, found, "c")[0], restarts(found)) == (25, [0])
    assert found["status"]["containerStatuses"][0]["allocatedResources"] == {"cpu": "25m"}
