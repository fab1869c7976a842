"""Which packets go where."""

from __future__ import annotations

from typing import Any

from polong.cni.services import ServicePort, from_json, to_json
from polong.proxy import plan

Json = dict[str, Any]


def service(name: str, address: str = "10.96.0.1", **spec: Any) -> Json:
    ports = [{"port": 80, "protocol": "TCP"}]
    return {"metadata": {"name": name, "namespace": "n"}, "spec": {"clusterIP": address, "ports": ports, **spec}}


def piece(name: str, *endpoints: Json, port: int | None = 8080) -> Json:
    return {
        "metadata": {"name": f"{name}-x", "namespace": "n", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "", "protocol": "TCP", "port": port}],
    }


def endpoint(address: str, **conditions: bool) -> Json:
    return {"addresses": [address], "conditions": conditions}


def test_ready_endpoints_are_targets():
    found = plan.ports([service("web")], [piece("web", endpoint("10.1.0.2", ready=True), endpoint("10.1.0.3", ready=False))])
    assert found == [ServicePort("10.96.0.1", "tcp", 80, (("10.1.0.2", 8080),))]
    assert from_json(to_json(found)) == found


def test_where_all_are_ending_they_serve_to_the_end():
    ending = endpoint("10.1.0.2", ready=False, serving=True, terminating=True)
    assert plan.ports([service("web")], [piece("web", ending)])[0].targets == (("10.1.0.2", 8080),)
    both = piece("web", ending, endpoint("10.1.0.3", ready=True))
    assert plan.ports([service("web")], [both])[0].targets == (("10.1.0.3", 8080),)


def test_what_has_no_address_or_leads_to_itself_is_left_out():
    headless, name = service("a", "None"), service("b", "", type="ExternalName")
    api = service("kubernetes", "10.1.0.1")
    assert plan.ports([headless, name, api], [piece("kubernetes", endpoint("10.1.0.1"), port=80)]) == []


def test_a_port_without_endpoints_is_known_and_leads_nowhere():
    assert plan.ports([service("web")], []) == [ServicePort("10.96.0.1", "tcp", 80, ())]
