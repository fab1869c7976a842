"""Services with real Pods behind them: addresses that lead to who is ready, names and variables in Pods, kubectl's words about them."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.e2e.cluster import Client, Node, any_kubectl, busybox, eventually, pod

Json = dict[str, Any]

SLICES = "discovery.k8s.io/v1/endpointslices"
_SERVE = "mkdir /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"


def service(name: str, *ports: Json, **spec: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": list(ports), **spec}}


def web(name: str, *, ready: bool = True, **spec: Any) -> Json:
    """A Pod that says its name on port 8080, named http; ready while /tmp/ready is there."""
    probe = {"exec": {"command": ["ls", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = f"{'touch /tmp/ready; ' if ready else ''}{_SERVE}"
    container = busybox("c", script, readinessProbe=probe, ports=[{"name": "http", "containerPort": 8080}])
    made = pod(name, container, **spec)
    made["metadata"]["labels"] = {"app": "web"}
    return made


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Cluster:
    """Two that serve and one that asks."""
    for each in (web("a", hostname="first", subdomain="headless"), web("b"), pod("client", busybox("c", "exec sleep 3600"))):
        cluster.create("pods", each)
    for name in ("a", "b", "client"):
        cluster.ready(name)
    return cluster


@pytest.fixture
def kubectl(node: Node) -> Client:
    program = any_kubectl()
    if program is None:
        pytest.skip("there is no kubectl here")
    return node.client(program)


def ask(cluster: Cluster, url: str, times: int = 12) -> set[str]:
    """Who answers from inside of a Pod."""
    script = f"for i in $(seq {times}); do timeout 5 wget -q -O - {url} || echo nobody; done"
    return set(cluster.sh("client", "c", script).split())


def addresses(cluster: Cluster, name: str) -> set[str]:
    """Ready ones of the Service's slices."""
    found = cluster.list(SLICES, labelSelector=f"kubernetes.io/service-name={name}")
    endpoints = [each for piece in found for each in piece.get("endpoints") or ()]
    return {each["addresses"][0] for each in endpoints if each["conditions"]["ready"]}


def endpoints(cluster: Cluster, name: str) -> Json:
    found: Json = eventually(lambda: _maybe(cluster, name), f"Endpoints of {name}")
    return found


def _maybe(cluster: Cluster, name: str) -> Json | None:
    try:
        return cluster.get("endpoints", name)
    except Refused:
        return None


def hosts_line(cluster: Cluster, name: str) -> str:
    return cluster.sh("client", "c", f"grep -w {name} /etc/hosts || true")


@pytest.mark.behaviour("services/cluster-ip", "services/endpoints", "services/names")
def test_an_address_leads_to_the_pods_that_are_ready(pods: Cluster) -> None:
    made = pods.create("services", service("web", {"name": "h", "port": 80, "targetPort": "http"}, selector={"app": "web"}))
    address = made["spec"]["clusterIP"]
    assert made["spec"]["clusterIPs"] == [address]
    assert (made["spec"]["type"], made["spec"]["sessionAffinity"], made["spec"]["ipFamilies"]) == ("ClusterIP", "None", ["IPv4"])
    ips = {pods.pod(name)["status"]["podIP"] for name in ("a", "b")}
    eventually(lambda: addresses(pods, "web") == ips, "slices hold both Pods")
    (subset,) = endpoints(pods, "web")["subsets"]
    assert {each["ip"] for each in subset["addresses"]} == ips
    assert subset["ports"] == [{"name": "h", "port": 8080, "protocol": "TCP"}]
    assert {each["targetRef"]["name"] for each in subset["addresses"]} == {"a", "b"}
    # By address, and by each name.
    eventually(lambda: ask(pods, f"http://{address}") == {"first", "b"}, "both answer")
    eventually(lambda: address in hosts_line(pods, "web"), "the name is in /etc/hosts")
    for name in ("web", f"web.{pods.namespace}", f"web.{pods.namespace}.svc", f"web.{pods.namespace}.svc.cluster.local"):
        assert ask(pods, f"http://{name}", 1) <= {"first", "b"}
    # From the node, and to oneself.
    with urllib.request.urlopen(f"http://{address}", timeout=5) as answer:
        assert answer.read().decode().strip() in {"first", "b"}
    assert "b" in pods.sh("b", "c", f"for i in $(seq 12); do wget -q -O - http://{address}; done").split()
    # Who is not ready gets nothing.
    pods.sh("a", "c", "rm /tmp/ready")
    eventually(lambda: addresses(pods, "web") == {pods.pod("b")["status"]["podIP"]}, "the slice has one ready endpoint")
    eventually(lambda: ask(pods, f"http://{address}") == {"b"}, "only b answers")
    assert "notReadyAddresses" in endpoints(pods, "web")["subsets"][0]
    pods.sh("a", "c", "touch /tmp/ready")
    eventually(lambda: ask(pods, f"http://{address}") == {"first", "b"}, "both answer again")
    # And with the Service goes everything.
    pods.delete("services", "web")
    eventually(lambda: not hosts_line(pods, "web"), "the name is gone")
    eventually(lambda: _maybe(pods, "web") is None and not addresses(pods, "web"), "endpoints are gone")
    eventually(lambda: ask(pods, f"http://{address}", 1) == {"nobody"}, "nothing answers")


@pytest.mark.behaviour("services/refused")
def test_without_anybody_ready_a_connection_is_refused_at_once(pods: Cluster) -> None:
    made = pods.create("services", service("nobody", {"port": 80}, selector={"app": "nobody"}))
    ran = pods.exec("client", "c", "timeout", "20", "wget", "-O", "-", f"http://{made['spec']['clusterIP']}")
    assert "refused" in ran.stderr, ran
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"http://{made['spec']['clusterIP']}", timeout=5)
    pods.delete("services", "nobody")


@pytest.mark.behaviour("services/headless", "services/pod-names", "services/not-ready-addresses")
def test_a_headless_service_is_its_pods(pods: Cluster) -> None:
    pods.create("services", service("headless", {"port": 8080}, selector={"app": "web"}, clusterIP="None"))
    pods.create("pods", web("c", ready=False))
    pods.until("c", lambda each: each["status"].get("podIP"), "has an address")
    a, b = (pods.pod(name)["status"]["podIP"] for name in ("a", "b"))
    names = f"headless.{pods.namespace}.svc.cluster.local"
    eventually(lambda: {line.split()[0] for line in hosts_line(pods, names).splitlines()} == {a, b}, "both addresses have the name")
    assert ask(pods, "http://headless:8080", 2) <= {"first", "b"}
    assert ask(pods, f"http://first.{names}:8080", 1) == ask(pods, "http://first.headless:8080", 1) == {"first"}
    pods.patch("services", "headless", {"spec": {"publishNotReadyAddresses": True}})
    c = pods.pod("c")["status"]["podIP"]
    eventually(lambda: {line.split()[0] for line in hosts_line(pods, names).splitlines()} == {a, b, c}, "who is not ready too")
    pods.delete("pods", "c")
    eventually(lambda: c not in hosts_line(pods, names), "the Pod's address is gone with it")
    pods.delete("services", "headless")


@pytest.mark.behaviour("services/node-port", "services/affinity", "services/type-changes")
def test_a_node_port_and_affinity(pods: Cluster) -> None:
    port = {"port": 80, "targetPort": 8080}
    made = pods.create("services", service("np", port, selector={"app": "web"}, type="NodePort", sessionAffinity="ClientIP"))
    number, address = made["spec"]["ports"][0]["nodePort"], made["spec"]["clusterIP"]
    assert 30000 <= number <= 32767
    assert made["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    host = pods.pod("a")["status"]["hostIP"]
    for where in (host, "127.0.0.1"):
        eventually(lambda where=where: answers(f"http://{where}:{number}") in {"first", "b"}, f"{where}:{number} answers")
    eventually(lambda: len(ask(pods, f"http://{address}")) == 1, "one client, one Pod")
    with pytest.raises(Refused) as refused:
        pods.create("services", service("np2", {**port, "nodePort": number}, type="NodePort"))
    assert refused.value.causes == [
        {
            "reason": "FieldValueInvalid",
            "message": f"Invalid value: {number}: provided port is already allocated",
            "field": "spec.ports[0].nodePort",
        }
    ]
    changed = pods.patch("services", "np", {"spec": {"type": "ClusterIP"}})
    assert "nodePort" not in changed["spec"]["ports"][0]
    assert changed["spec"]["clusterIP"] == address
    eventually(lambda: answers(f"http://{host}:{number}") == "", "the node port is closed")
    changed = pods.patch("services", "np", {"spec": {"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"}})
    assert not changed["spec"].get("clusterIP")
    pods.delete("services", "np")


def answers(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            text: str = answer.read().decode().strip()
            return text
    except OSError:
        return ""


@pytest.mark.behaviour("services/udp")
def test_datagrams_are_led_as_well(pods: Cluster, udp: Path) -> None:
    tool = {"name": "tool", "hostPath": {"path": str(udp), "type": "File"}}
    mount = {"volumeMounts": [{"name": "tool", "mountPath": "/udp"}]}
    server = pod("udp", {"name": "c", "image": "busybox:1.28", "command": ["/udp", "serve", "5300", "me"], **mount}, volumes=[tool])
    server["metadata"]["labels"] = {"app": "udp"}
    pods.create("pods", server)
    pods.create("pods", pod("asks", busybox("c", "exec sleep 1000", **mount), volumes=[tool]))
    port = {"port": 53, "targetPort": 5300, "protocol": "UDP"}
    made = pods.create("services", service("udp", port, selector={"app": "udp"}))
    pods.ready("udp")
    pods.ready("asks")
    eventually(lambda: pods.exec("asks", "c", "/udp", "ask", made["spec"]["clusterIP"], "53").stdout.strip() == "me", "it answers")


@pytest.mark.behaviour("services/manual-endpoints")
def test_endpoints_that_somebody_keeps_are_mirrored(pods: Cluster) -> None:
    made = pods.create("services", service("manual", {"port": 80}))
    address = pods.pod("b")["status"]["podIP"]
    subsets = [{"addresses": [{"ip": address}], "ports": [{"port": 8080}]}]
    pods.create("endpoints", {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "manual"}, "subsets": subsets})
    eventually(lambda: addresses(pods, "manual") == {address}, "there is a slice of it")
    (piece,) = pods.list(SLICES, labelSelector="kubernetes.io/service-name=manual")
    assert piece["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
    eventually(lambda: ask(pods, f"http://{made['spec']['clusterIP']}", 1) == {"b"}, "it leads there")
    pods.delete("endpoints", "manual")
    eventually(lambda: not addresses(pods, "manual"), "the mirror is gone")
    pods.delete("services", "manual")


@pytest.mark.behaviour("pods/service-environment")
def test_a_pod_made_after_a_service_has_its_variables(pods: Cluster) -> None:
    made = pods.create("services", service("foo-service", {"name": "p-q", "port": 8765, "targetPort": 8080}))
    address = made["spec"]["clusterIP"]
    pods.create("pods", pod("env", busybox("c", "exec sleep 1000")))
    pods.create("pods", pod("bare", busybox("c", "exec sleep 1000"), enableServiceLinks=False))
    pods.ready("env")
    pods.ready("bare")
    found = dict(line.split("=", 1) for line in pods.sh("env", "c", "env").splitlines())
    assert {name: value for name, value in found.items() if name.startswith("FOO_SERVICE")} == {
        "FOO_SERVICE_SERVICE_HOST": address,
        "FOO_SERVICE_SERVICE_PORT": "8765",
        "FOO_SERVICE_SERVICE_PORT_P_Q": "8765",
        "FOO_SERVICE_PORT": f"tcp://{address}:8765",
        "FOO_SERVICE_PORT_8765_TCP": f"tcp://{address}:8765",
        "FOO_SERVICE_PORT_8765_TCP_PROTO": "tcp",
        "FOO_SERVICE_PORT_8765_TCP_PORT": "8765",
        "FOO_SERVICE_PORT_8765_TCP_ADDR": address,
    }
    api = pods.core.read_namespaced_service("kubernetes", "default").spec
    assert (found["KUBERNETES_SERVICE_HOST"], found["KUBERNETES_SERVICE_PORT"]) == (api.cluster_ip, str(api.ports[0].port))
    bare = pods.sh("bare", "c", "env")
    assert "FOO_SERVICE" not in bare
    assert f"KUBERNETES_SERVICE_HOST={api.cluster_ip}" in bare.splitlines()
    pods.delete("services", "foo-service")


@pytest.mark.behaviour("kubectl/cluster-info", "kubectl/expose")
def test_kubectl_speaks_of_services(pods: Cluster, kubectl: Client) -> None:
    info = kubectl("cluster-info")
    assert "Kubernetes control plane" in info
    assert "is running at" in info
    n = ("-n", pods.namespace)
    assert "exposed" in kubectl(*n, "expose", "pod", "b", "--port=80", "--target-port=8080", "--name=shown")
    eventually(lambda: len(addresses(pods, "shown")) == 2, "both Pods with the label are behind it")
    shown = kubectl(*n, "get", "svc,ep,endpointslices").split()
    assert {"service/shown", "endpoints/shown", "ClusterIP", "80/TCP"} <= set(shown)
    described = kubectl(*n, "describe", "service", "shown")
    assert f"{pods.pod('b')['status']['podIP']}:8080" in described
    assert "created" in kubectl(*n, "create", "service", "nodeport", "typed", "--tcp=80:8080")
    assert pods.get("services", "typed")["spec"]["ports"][0]["nodePort"]
    assert pods.request("GET", pods.path("services", "shown:80", "proxy/index.html")).strip() in {"first", "b"}
    with pytest.raises(Refused) as refused:
        pods.request("GET", pods.path("services", "typed:80", "proxy/"))
    assert (refused.value.code, refused.value.message) == (503, 'no endpoints available for service "typed"')
    command = [str(kubectl.program), *n, "port-forward", "svc/shown", ":80"]
    with subprocess.Popen(command, env=kubectl.env, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            port = forward.stdout.readline().split("127.0.0.1:")[1].split()[0]
            assert answers(f"http://127.0.0.1:{port}") in {"first", "b"}
        finally:
            forward.terminate()
    kubectl(*n, "delete", "service", "shown", "typed")


@pytest.mark.behaviour("services/validation")
@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"ports": []}, ("spec.ports", "Required value")),
        ({"ports": [{"port": 1}, {"port": 2}]}, ("spec.ports[0].name", "Required value")),
        ({"ports": [{"port": 70000}]}, ("spec.ports[0].port", "Invalid value: 70000: must be between 1 and 65535, inclusive")),
        ({"clusterIP": "1.2.3.4"}, ("spec.clusterIPs", 'Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4')),
        ({"type": "Odd"}, ("spec.type", 'Unsupported value: "Odd"')),
        ({"type": "NodePort", "clusterIP": "None"}, ("spec.clusterIPs[0]", "may not be set to 'None' for NodePort services")),
        ({"type": "ExternalName", "externalName": "a_b"}, ("spec.externalName", 'Invalid value: "a_b"')),
        ({"externalIPs": ["1.2.3.4"]}, ("spec.externalIPs", "Forbidden: Polong does not support this field yet")),
        ({"sessionAffinity": "Cookie"}, ("spec.sessionAffinity", 'Unsupported value: "Cookie"')),
        ({"ports": [{"port": 1, "nodePort": 30001}]}, ("spec.ports[0].nodePort", "may not be used when `type` is 'ClusterIP'")),
    ],
)
def test_what_is_refused(cluster: Cluster, spec: Json, cause: tuple[str, str]) -> None:
    made = service("bad", {"port": 80})
    made["spec"] |= spec
    with pytest.raises(Refused) as refused:
        cluster.create("services", made)
    assert refused.value.code == 422
    assert any(each["field"] == cause[0] and cause[1] in each["message"] for each in refused.value.causes), refused.value.causes
