"""A Service as `kubectl get` shows it. Source: printers.go (printService, getServiceExternalIP, makePortString)."""

from __future__ import annotations

from typing import Any

from polong.api.tables.columns import AGE, NAME, Column, format_labels

Json = dict[str, Any]


def _external(service: Json) -> str:
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec["type"] == "LoadBalancer":
        given = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        return ",".join(str(each.get("ip") or each.get("hostname") or "") for each in given) or "<pending>"
    return "<none>"


def _port(port: Json) -> str:
    node_port = port.get("nodePort")
    return f"{port['port']}:{node_port}/{port['protocol']}" if node_port else f"{port['port']}/{port['protocol']}"


COLUMNS = (
    NAME,
    Column("Type", lambda service, _: str(service["spec"]["type"]), description="How the Service is reached."),
    Column("Cluster-IP", lambda service, _: str(service["spec"].get("clusterIP") or "<none>"), description="Its own address."),
    Column("External-IP", lambda service, _: _external(service), description="Where it is reached from elsewhere."),
    Column("Port(s)", lambda service, _: ",".join(map(_port, service["spec"].get("ports") or ())) or "<none>", description="Its ports."),
    AGE,
    Column("Selector", lambda service, _: format_labels(service["spec"].get("selector")), priority=1, description="Labels of its Pods."),
)
