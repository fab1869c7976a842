"""Services as Pods are told of them: variables, and names for /etc/hosts."""

from __future__ import annotations

from typing import Any

from polong.kubelet import services
from polong.kubelet.environment import Sources, environment

Json = dict[str, Any]


def service(name: str, address: str, *ports: Json, namespace: str = "default", **spec: Any) -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "ClusterIP", "clusterIP": address, "ports": list(ports), **spec},
    }


API = service("kubernetes", "10.0.0.1", {"name": "https", "port": 443, "protocol": "TCP"})
OF_API = {
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT": "tcp://10.0.0.1:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.0.0.1:443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.0.0.1",
}


def test_every_pod_is_told_of_the_api_and_of_the_services_of_its_namespace():
    other = service("far", "10.0.0.2", {"port": 80, "protocol": "TCP"}, namespace="other")
    near = service("my-web", "10.0.0.3", {"name": "a-b", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"})
    headless = service("headless", "None", {"port": 80, "protocol": "TCP"})
    found = services.variables([API, other, near, headless], "default", links=True)
    assert found == OF_API | {
        "MY_WEB_SERVICE_HOST": "10.0.0.3",
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_A_B": "80",
        "MY_WEB_SERVICE_PORT_DNS": "53",
        "MY_WEB_PORT": "tcp://10.0.0.3:80",
        "MY_WEB_PORT_80_TCP": "tcp://10.0.0.3:80",
        "MY_WEB_PORT_80_TCP_PROTO": "tcp",
        "MY_WEB_PORT_80_TCP_PORT": "80",
        "MY_WEB_PORT_80_TCP_ADDR": "10.0.0.3",
        "MY_WEB_PORT_53_UDP": "udp://10.0.0.3:53",
        "MY_WEB_PORT_53_UDP_PROTO": "udp",
        "MY_WEB_PORT_53_UDP_PORT": "53",
        "MY_WEB_PORT_53_UDP_ADDR": "10.0.0.3",
    }
    assert services.variables([API, near], "default", links=False) == OF_API
    assert services.variables([API, near], "another", links=True) == OF_API
    assert services.variables([], "default", links=True) == {}


def test_a_service_of_that_name_in_ones_own_namespace_goes_before_the_api():
    own = service("kubernetes", "10.0.0.9", {"port": 1, "protocol": "TCP"}, namespace="mine")
    assert services.variables([API, own], "mine", links=True)["KUBERNETES_SERVICE_HOST"] == "10.0.0.9"
    assert services.variables([API, own], "mine", links=False)["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"


def test_a_container_may_say_otherwise_and_refer_to_them():
    sources = Sources(services=services.variables([API], "default", links=True))
    container = {"env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "x"}, {"name": "URL", "value": "$(KUBERNETES_SERVICE_PORT)"}]}
    values = environment({}, container, sources)
    assert (values["KUBERNETES_SERVICE_HOST"], values["URL"]) == ("x", "443")


def piece(name: str, *endpoints: Json, namespace: str = "default") -> Json:
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": labels},
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [],
    }


def test_names_as_a_cluster_dns_would_have_them():
    web, far = service("web", "10.0.0.3"), service("far", "10.0.0.4", namespace="other")
    found = services.names([web, far], [], "default", "cluster.local")
    assert found == [
        ("10.0.0.3", ["web.default.svc.cluster.local", "web.default.svc", "web.default", "web"]),
        ("10.0.0.4", ["far.other.svc.cluster.local", "far.other.svc", "far.other"]),
    ]


def test_a_headless_service_is_its_ready_pods_each_with_its_own_name():
    ready = {"addresses": ["10.1.0.2"], "conditions": {"ready": True}, "hostname": "a"}
    silent = {"addresses": ["10.1.0.3"]}
    late = {"addresses": ["10.1.0.4"], "conditions": {"ready": False}}
    found = services.names([service("db", "None")], [piece("db", ready, silent, late)], "default", "x")
    names = ["db.default.svc.x", "db.default.svc", "db.default", "db"]
    assert found == [("10.1.0.2", [*(f"a.{each}" for each in names), *names]), ("10.1.0.3", names)]


def test_another_name_for_a_service_of_this_api_is_answered_for_and_no_other_is():
    web = service("web", "10.0.0.3", namespace="other")
    alias = service("alias", "", type="ExternalName", externalName="web.other.svc.cluster.local.")
    far = service("far", "", type="ExternalName", externalName="www.example.com")
    found = services.names([web, alias, far], [], "default", "cluster.local")
    assert ("10.0.0.3", ["alias.default.svc.cluster.local", "alias.default.svc", "alias.default", "alias"]) in found
    assert len(found) == 2
