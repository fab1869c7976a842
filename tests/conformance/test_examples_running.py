"""The example Pods of Kubernetes' documentation that are about probes, resources, several containers, restarts and security."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, condition, entry, statuses
from tests.e2e.cluster import Node, busybox, eventually, nginx, pod

Json = dict[str, Any]

_MOUNTED = "exec sleep 3600"


# --- probes ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.behaviour("examples/probe-exec-liveness", "examples/probe-http-liveness", "examples/probe-pod-with-http-healthcheck")
def test_who_is_no_longer_alive_is_restarted(cluster: Cluster) -> None:
    """The documentation's numbers, shortened: a file that goes after a while, a page that fails after a while."""
    touch = "touch /tmp/healthy; sleep 4; rm -f /tmp/healthy; sleep 600"
    command = {"exec": {"command": ["cat", "/tmp/healthy"]}, "initialDelaySeconds": 1, "periodSeconds": 1}
    cluster.create("pods", pod("liveness-exec", busybox("liveness", touch, livenessProbe=command)))
    serve = "mkdir /tmp/www; echo ok > /tmp/www/healthz; httpd -p 8080 -h /tmp/www; sleep 4; rm /tmp/www/healthz; sleep 600"
    headers = [{"name": "Custom-Header", "value": "Awesome"}]
    get = {"path": "/healthz", "port": 8080, "httpHeaders": headers}
    page = {"httpGet": get, "initialDelaySeconds": 1, "periodSeconds": 1, "timeoutSeconds": 1}
    cluster.create("pods", pod("liveness-http", busybox("liveness", serve, livenessProbe=page, ports=[{"containerPort": 8080}])))
    for name in ("liveness-exec", "liveness-http"):
        cluster.until(name, lambda each: entry(each, "liveness")["restartCount"] >= 1, "was restarted", timeout=60)
        assert "Liveness probe failed" in cluster.event(name, "Unhealthy")["message"]
        assert cluster.event(name, "Killing")["message"] == "Container liveness failed liveness probe, will be restarted"


@pytest.mark.behaviour("examples/probe-tcp-liveness-readiness", "examples/probe-pod-with-tcp-socket-healthcheck")
def test_an_open_port_is_ready_and_alive(cluster: Cluster) -> None:
    probe = {"tcpSocket": {"port": 8080}, "initialDelaySeconds": 1, "periodSeconds": 1, "timeoutSeconds": 1}
    container = {"name": "goproxy", "image": "static-web", "ports": [{"containerPort": 8080}]}
    told = cluster.run(pod("goproxy", {**container, "readinessProbe": probe, "livenessProbe": probe}))
    assert statuses(told)["goproxy"]["restartCount"] == 0


# --- resources ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour(
    "examples/qos-qos-pod", "examples/qos-qos-pod-2", "examples/qos-qos-pod-3", "examples/qos-qos-pod-4", "examples/qos-qos-pod-5"
)
def test_classes_of_service(cluster: Cluster) -> None:
    whole = {"limits": {"memory": "200Mi", "cpu": "700m"}, "requests": {"memory": "200Mi", "cpu": "700m"}}
    shapes: dict[str, tuple[str, list[Json]]] = {
        "qos-demo": ("Guaranteed", [nginx("c", resources=whole)]),
        "qos-demo-2": ("Burstable", [nginx("c", resources={"limits": {"memory": "200Mi"}, "requests": {"memory": "100Mi"}})]),
        "qos-demo-3": ("BestEffort", [nginx("c")]),
        "qos-demo-4": ("Burstable", [nginx("c", resources={"requests": {"memory": "200Mi"}}), busybox("d", _MOUNTED)]),
    }
    for name, (_, containers) in shapes.items():
        cluster.create("pods", pod(name, *containers))
    for name, (wanted, _) in shapes.items():
        assert cluster.ready(name)["status"]["qosClass"] == wanted
        cluster.delete("pods", name, grace=0)


@pytest.mark.behaviour("examples/resource-memory-request-limit", "examples/resource-cpu-request-limit")
def test_requests_and_limits_that_fit(cluster: Cluster) -> None:
    memory = {"requests": {"memory": "100Mi"}, "limits": {"memory": "200Mi"}}
    burn = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}
    cluster.run(pod("fits", busybox("memory", _MOUNTED, resources=memory), busybox("cpu", _MOUNTED, resources=burn)))
    assert cluster.pod("fits")["spec"]["containers"][0]["resources"] == memory
    cluster.delete("pods", "fits", grace=0)


@pytest.mark.behaviour("examples/resource-memory-request-limit-2")
def test_more_memory_than_the_limit(cluster: Cluster) -> None:
    """With `tail`, which keeps a line without end, in place of stress."""
    resources = {"requests": {"memory": "50Mi"}, "limits": {"memory": "100Mi"}}
    cluster.create("pods", pod("memory-demo-2", busybox("c", "exec tail /dev/zero", resources=resources)))
    told = cluster.until("memory-demo-2", lambda each: _killed(each), "was killed for its memory")
    ended = statuses(told)["c"]["lastState"].get("terminated") or statuses(told)["c"]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    cluster.delete("pods", "memory-demo-2", grace=0)


def _killed(told: Json) -> bool:
    found = statuses(told).get("c", {})
    return any((found.get(part) or {}).get("terminated", {}).get("reason") == "OOMKilled" for part in ("state", "lastState"))


@pytest.mark.behaviour("examples/resource-memory-request-limit-3", "examples/resource-cpu-request-limit-2")
def test_more_than_the_node_has(cluster: Cluster) -> None:
    for name, wanted, reason in (
        ("memory-demo-3", {"memory": "1000Gi"}, "Insufficient memory"),
        ("cpu-demo-2", {"cpu": "100"}, "Insufficient cpu"),
    ):
        cluster.create("pods", pod(name, busybox("c", _MOUNTED, resources={"requests": wanted, "limits": wanted})))
        told = cluster.until(name, lambda each: condition(each, "PodScheduled") == "False", "waits for a place")
        assert told["status"]["phase"] == "Pending"
        assert reason in cluster.event(name, "FailedScheduling")["message"]
        cluster.delete("pods", name, grace=0)


@pytest.mark.behaviour("examples/resource-extended-resource-pod", "examples/resource-extended-resource-pod-2")
def test_resources_of_ones_own(cluster: Cluster) -> None:
    """The page advertises four dongles by a patch of the Node's status; the third Pod finds too few."""
    (node,) = cluster.list("nodes", namespaced=False)
    name = node["metadata"]["name"]
    patch = [{"op": "add", "path": f"/status/{part}/example.com~1dongle", "value": "4"} for part in ("capacity", "allocatable")]
    cluster.patch("nodes", name, patch, "status", kind="json", namespaced=False)
    for pod_name, count in (("extended-1", "3"), ("extended-2", "2")):
        resources = {"requests": {"example.com/dongle": count}, "limits": {"example.com/dongle": count}}
        cluster.create("pods", pod(pod_name, nginx("c", resources=resources)))
    cluster.ready("extended-1")
    assert "Insufficient example.com/dongle" in cluster.event("extended-2", "FailedScheduling")["message"]
    for pod_name in ("extended-1", "extended-2"):
        cluster.delete("pods", pod_name, grace=0)


@pytest.mark.slow
@pytest.mark.behaviour("examples/resource-pod-resize")
def test_resources_of_a_running_pod(cluster: Cluster) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    resources = {"limits": {"memory": "200Mi", "cpu": "700m"}, "requests": {"memory": "200Mi", "cpu": "700m"}}
    cluster.run(pod("resize-demo", busybox("c", _MOUNTED, resizePolicy=policy, resources=resources)))
    cpu = {"limits": {"cpu": "800m"}, "requests": {"cpu": "800m"}}
    cluster.patch("pods", "resize-demo", {"spec": {"containers": [{"name": "c", "resources": cpu}]}}, "resize")
    told = cluster.until("resize-demo", lambda each: _given(each)["limits"]["cpu"] == "800m", "has its cpu")
    assert statuses(told)["c"]["restartCount"] == 0
    memory = {"limits": {"memory": "300Mi"}, "requests": {"memory": "300Mi"}}
    cluster.patch("pods", "resize-demo", {"spec": {"containers": [{"name": "c", "resources": memory}]}}, "resize")
    cluster.until("resize-demo", lambda each: statuses(each)["c"]["restartCount"] == 1, "was restarted for its memory")
    cluster.until("resize-demo", lambda each: _given(each)["limits"]["memory"] == "300Mi", "has its memory")


def _given(told: Json) -> Json:
    found: Json = statuses(told)["c"].get("resources") or {}
    return {"limits": {}, **found}


@pytest.mark.behaviour(
    "examples/resource-pod-level-resources",
    "examples/resource-pod-level-cpu-request-limit",
    "examples/resource-pod-level-memory-request-limit",
)
def test_resources_of_the_whole_pod(cluster: Cluster) -> None:
    cpu, memory = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}, {"requests": {"memory": "100Mi"}, "limits": {"memory": "200Mi"}}
    both = {"requests": {"cpu": "1", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "200Mi"}}
    own = busybox("own", _MOUNTED, resources={"requests": {"cpu": "0.5", "memory": "50Mi"}, "limits": {"cpu": "0.5", "memory": "100Mi"}})
    for name, resources, containers in (
        ("pod-level-cpu", cpu, (busybox("c", _MOUNTED),)),
        ("pod-level-memory", memory, (busybox("c", _MOUNTED),)),
        ("pod-level-both", both, (own, busybox("rest", _MOUNTED))),
    ):
        told = cluster.run(pod(name, *containers, resources=resources))
        assert told["spec"]["resources"] == resources
        assert told["status"]["qosClass"] == "Burstable"
        cluster.delete("pods", name, grace=0)


# --- several containers ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.behaviour("examples/multi-container-adapter", "examples/multi-container-localhost", "examples/multi-container-ambassador")
def test_sidecars_that_read_ask_and_pass_on(cluster: Cluster) -> None:
    logs = {"volumeMounts": [{"name": "shared-logs", "mountPath": "/var/log/app"}]}
    adapt = 'touch /var/log/app/raw.log; tail -F /var/log/app/raw.log | while read line; do echo "adapted: $line"; done'
    adapter = busybox("adapter", adapt, restartPolicy="Always", **logs)
    writer = busybox("main-app", 'while true; do echo "raw event" >> /var/log/app/raw.log; sleep 1; done', **logs)
    volumes = [{"name": "shared-logs", "emptyDir": {}}]
    cluster.create("pods", pod("adapter-pattern", writer, initContainers=[adapter], volumes=volumes))
    client = busybox("client", "while true; do wget -qO- http://localhost:80 | head -n 4; sleep 1; done", restartPolicy="Always")
    cluster.create("pods", pod("localhost-example", nginx("web", ports=[{"containerPort": 80}]), initContainers=[client]))
    # The page's ambassador is socat to a data base; nc to the node's own HTTP server does as much.
    relay = "while true; do nc -l -p 5432 -e nc $DATABASE 80; done"
    web = cluster.run(pod("database", nginx()))["status"]["podIP"]
    ambassador = busybox("ambassador", relay, restartPolicy="Always", env=[{"name": "DATABASE", "value": web}])
    app = busybox("main-app", _MOUNTED, env=[{"name": "DATABASE_URL", "value": "localhost:5432"}])
    cluster.create("pods", pod("ambassador-sidecar", app, initContainers=[ambassador]))
    for name in ("adapter-pattern", "localhost-example", "ambassador-sidecar"):
        cluster.ready(name)
    eventually(lambda: "adapted: raw event" in cluster.logs("adapter-pattern", "adapter"), "the adapter adapts")
    eventually(lambda: "<title>" in cluster.logs("localhost-example", "client"), "the client reaches localhost")
    ask = 'printf "GET / HTTP/1.0\\r\\n\\r\\n" | nc -w 5 localhost 5432'
    eventually(lambda: "Welcome" in cluster.exec("ambassador-sidecar", "main-app", "sh", "-c", ask).stdout, "the ambassador passes on")


@pytest.mark.behaviour(
    "examples/multi-container-startup-coordination", "examples/multi-container-shared-volume", "examples/multi-container-resources"
)
def test_what_begins_before_the_others(cluster: Cluster) -> None:
    config = {"volumeMounts": [{"name": "config", "mountPath": "/config"}]}
    probe = {"exec": {"command": ["test", "-f", "/config/app.conf"]}, "periodSeconds": 1}
    write = "sleep 1; echo greeting=hello > /config/app.conf; while true; do sleep 3600; done"
    sidecar = busybox("config-sidecar", write, restartPolicy="Always", startupProbe=probe, **config)
    main = busybox("main-app", "cat /config/app.conf; exec sleep 3600", **config)
    cluster.create("pods", pod("startup-coordination", main, initContainers=[sidecar], volumes=[{"name": "config", "emptyDir": {}}]))
    content = [{"name": "content", "mountPath": "/content"}]
    writer = busybox("content-writer", 'echo "Hello from the init container" > /content/index.html', volumeMounts=content)
    web = nginx("web", volumeMounts=[{"name": "content", "mountPath": "/usr/share/nginx/html", "readOnly": True}])
    volumes = [{"name": "content", "emptyDir": {"sizeLimit": "10Mi"}}]
    cluster.create("pods", pod("shared-volume", web, initContainers=[writer], volumes=volumes))
    setup = busybox("setup", "echo setting up", resources={"requests": {"cpu": "200m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}})
    ship = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}
    shipper = busybox("log-shipper", _MOUNTED, restartPolicy="Always", resources=ship)
    app = nginx("app", resources={"requests": {"cpu": "300m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}})
    cluster.create("pods", pod("resources-example", app, initContainers=[setup, shipper]))
    for name in ("startup-coordination", "shared-volume", "resources-example"):
        cluster.ready(name)
    assert cluster.logs("startup-coordination", "main-app") == "greeting=hello\n"
    assert cluster.sh("shared-volume", "web", "wget -q -O - http://localhost") == "Hello from the init container"
    assert cluster.logs("resources-example", "setup") == "setting up\n"


@pytest.mark.behaviour("examples/share-process-namespace")
def test_the_page_about_one_process_namespace(cluster: Cluster) -> None:
    """The whole page is tests/e2e/test_page.py."""
    shell = busybox("shell", _MOUNTED, securityContext={"capabilities": {"add": ["SYS_PTRACE"]}})
    cluster.run(pod("nginx-shared", nginx(), shell, shareProcessNamespace=True))
    seen = cluster.sh("nginx-shared", "shell", "ps ax")
    assert "/pause" in seen
    assert "nginx: master process" in seen


# --- security ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour(
    "examples/security-security-context",
    "examples/security-security-context-2",
    "examples/security-security-context-3",
    "examples/security-security-context-4",
    "examples/security-security-context-5",
    "examples/security-security-context-6",
)
def test_whom_containers_run_as_and_what_they_may(cluster: Cluster) -> None:
    identity = {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4000]}
    mount = {"volumeMounts": [{"name": "sec-ctx-vol", "mountPath": "/data/demo"}]}
    plain = busybox("c", _MOUNTED, securityContext={"allowPrivilegeEscalation": False}, **mount)
    own = busybox("own", _MOUNTED, securityContext={"runAsUser": 2000, "allowPrivilegeEscalation": False})
    volumes = [{"name": "sec-ctx-vol", "emptyDir": {}}]
    cluster.create("pods", pod("security-context", plain, own, securityContext=identity, volumes=volumes))
    strict = {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [4000], "supplementalGroupsPolicy": "Strict"}
    cluster.create("pods", pod("security-context-strict", plain | {"volumeMounts": []}, securityContext=strict))
    more = busybox("more", _MOUNTED, securityContext={"capabilities": {"add": ["NET_ADMIN", "SYS_TIME"]}})
    cluster.create("pods", pod("security-context-caps", busybox("usual", _MOUNTED), more))
    for name in ("security-context", "security-context-strict", "security-context-caps"):
        cluster.ready(name)
    assert cluster.sh("security-context", "c", "id").split() == ["uid=1000", "gid=3000", "groups=2000,3000,4000"]
    cluster.sh("security-context", "c", "echo hello > /data/demo/testfile")
    assert cluster.sh("security-context", "c", "stat -c %u:%g /data/demo/testfile") == "1000:2000"
    assert cluster.sh("security-context", "own", "id -u") == "2000"
    assert cluster.sh("security-context-strict", "c", "id").split() == ["uid=1000", "gid=3000", "groups=3000,4000"]
    caps = {name: cluster.sh("security-context-caps", name, "grep CapPrm /proc/1/status").split()[1] for name in ("usual", "more")}
    assert int(caps["more"], 16) & ~int(caps["usual"], 16) == 1 << 12 | 1 << 25


@pytest.mark.behaviour(
    "examples/security-seccomp-ga-default-pod",
    "examples/security-seccomp-ga-audit-pod",
    "examples/security-seccomp-ga-violation-pod",
    "examples/security-seccomp-ga-fine-pod",
    "examples/security-seccomp-fields",
)
def test_seccomp_profiles_of_the_node(cluster: Cluster, node: Node) -> None:
    """Profiles of our own: one that logs, one that lets all but mkdir through, one under which nothing runs."""
    profiles = node.root / "kubelet" / "seccomp" / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    refused = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    for name, profile in (
        ("audit", {"defaultAction": "SCMP_ACT_LOG"}),
        ("fine", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]}),
        ("violation", {"defaultAction": "SCMP_ACT_ERRNO"}),
    ):
        (profiles / f"{name}.json").write_text(json.dumps(profile))
    default = {"seccompProfile": {"type": "RuntimeDefault"}}
    cluster.create("pods", pod("seccomp-default", busybox("c", _MOUNTED), securityContext=default))
    for name in ("audit", "fine", "violation"):
        context = {"seccompProfile": {"type": "Localhost", "localhostProfile": f"profiles/{name}.json"}}
        cluster.create("pods", pod(f"seccomp-{name}", busybox("c", _MOUNTED), securityContext=context))
    for name in ("default", "audit", "fine"):
        cluster.ready(f"seccomp-{name}")
    assert "Seccomp:\t2" in cluster.sh("seccomp-default", "c", "cat /proc/1/status")
    assert cluster.sh("seccomp-audit", "c", "mkdir /tmp/x; echo $?") == "0"
    assert "not permitted" in cluster.exec("seccomp-fine", "c", "mkdir", "/tmp/x").stderr
    cluster.until("seccomp-violation", lambda each: not statuses(each).get("c", {"ready": True})["ready"], "does not run")
    each = {"type": "Localhost", "localhostProfile": "profiles/fine.json"}
    init = busybox("init", "grep Seccomp: /proc/1/status", securityContext=default)
    own = busybox("c", _MOUNTED, securityContext={"seccompProfile": each})
    free = busybox("free", _MOUNTED)
    unconfined = {"seccompProfile": {"type": "Unconfined"}}
    cluster.run(pod("seccomp-fields", own, free, initContainers=[init], securityContext=unconfined))
    assert "Seccomp:\t0" in cluster.sh("seccomp-fields", "free", "cat /proc/1/status")
    assert "Seccomp:\t2" in cluster.sh("seccomp-fields", "c", "cat /proc/1/status")
    assert cluster.logs("seccomp-fields", "init").strip() == "Seccomp:\t2"


@pytest.mark.behaviour("examples/user-namespaces-stateless")
def test_users_of_its_own(cluster: Cluster) -> None:
    cluster.run(pod("userns", busybox("shell", _MOUNTED), hostUsers=False))
    first, outside, count = cluster.sh("userns", "shell", "cat /proc/self/uid_map").split()
    assert (first, count) == ("0", "65536")
    assert int(outside) > 0
