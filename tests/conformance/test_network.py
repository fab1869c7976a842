"""Packets between Pods, from the node to Pods, host ports, and what Pods are told of name servers."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cluster import Cluster
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]


@pytest.fixture(scope="module")
def servers(cluster: Cluster, udp: Path) -> Iterator[Cluster]:
    """Two Pods, each with HTTP on 8080 and datagrams on 5300, and answers with its name."""
    mounts = {"volumeMounts": [{"name": "tool", "mountPath": "/tool"}]}
    for name in ("left", "right"):
        script = "mkdir /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
        containers = (busybox("http", script), busybox("udp", f"exec /tool/udp serve 5300 {name}", **mounts))
        cluster.create("pods", pod(name, *containers, volumes=[{"name": "tool", "hostPath": {"path": str(udp.parent)}}]))
    for name in ("left", "right"):
        cluster.ready(name)
    return cluster


def address(cluster: Cluster, name: str) -> str:
    found: str = cluster.pod(name)["status"]["podIP"]
    return found


@pytest.mark.behaviour("network/intra-pod-http")
def test_http_from_pod_to_pod(servers: Cluster) -> None:
    for here, there in (("left", "right"), ("right", "left"), ("left", "left")):
        ip = address(servers, there)
        eventually(lambda here=here, ip=ip: _says(servers, here, f"http://{ip}:8080/"), f"{here} reaches {there}")
        assert _says(servers, here, f"http://{ip}:8080/") == there


def _says(cluster: Cluster, name: str, url: str) -> str:
    return cluster.exec(name, "http", "timeout", "5", "wget", "-q", "-O", "-", url).stdout.strip()


@pytest.mark.behaviour("network/intra-pod-udp")
def test_datagrams_from_pod_to_pod(servers: Cluster) -> None:
    for here, there in (("left", "right"), ("right", "left")):
        command = ("/tool/udp", "ask", address(servers, there), "5300")
        eventually(lambda here=here, c=command, t=there: servers.exec(here, "udp", *c).stdout.strip() == t, f"{here} reaches {there}")


@pytest.mark.behaviour("network/node-pod-http")
def test_http_from_the_node(servers: Cluster) -> None:
    for name in ("left", "right"):
        with urllib.request.urlopen(f"http://{address(servers, name)}:8080/", timeout=5) as answer:
            assert answer.read().decode().strip() == name
    # And from a Pod in the node's own network.
    servers.run(pod("host", busybox("http", "exec sleep 1000"), hostNetwork=True))
    assert _says(servers, "host", f"http://{address(servers, 'left')}:8080/") == "left"


@pytest.mark.behaviour("network/node-pod-udp")
def test_datagrams_from_the_node(servers: Cluster, udp: Path) -> None:
    for name in ("left", "right"):
        command = [str(udp), "ask", address(servers, name), "5300"]
        eventually(
            lambda command=command, name=name: subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == name,
            f"{name} answers",
        )


@pytest.mark.behaviour("network/hostport")
def test_one_host_port_for_several_pods_by_address_and_protocol(cluster: Cluster, udp: Path) -> None:
    """As Kubernetes' test: the same number on 127.0.0.1 and on the node's address, for TCP and for UDP."""
    (node,) = cluster.list("nodes", namespaced=False)
    host = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    number = _free(host)
    tool = [{"name": "tool", "hostPath": {"path": str(udp.parent)}}]
    script = "mkdir /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    for name, ip in (("hp1", "127.0.0.1"), ("hp2", host)):
        port = {"containerPort": 8080, "hostPort": number, "hostIP": ip, "protocol": "TCP"}
        cluster.create("pods", pod(name, busybox("c", script, ports=[port])))
    serve = busybox(
        "c",
        "exec /tool/udp serve 8080 hp3",
        ports=[{"containerPort": 8080, "hostPort": number, "hostIP": host, "protocol": "UDP"}],
        volumeMounts=[{"name": "tool", "mountPath": "/tool"}],
    )
    cluster.create("pods", pod("hp3", serve, volumes=tool))
    for name in ("hp1", "hp2", "hp3"):
        cluster.ready(name)
    for name, ip in (("hp1", "127.0.0.1"), ("hp2", host)):
        with urllib.request.urlopen(f"http://{ip}:{number}/", timeout=5) as answer:
            assert answer.read().decode().strip() == name
    ran = subprocess.run([str(udp), "ask", host, str(number)], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "hp3", ran
    for name in ("hp1", "hp2", "hp3"):
        cluster.delete("pods", name, grace=0)


def _free(host: str) -> int:
    """A port that nobody has on this address, nor on 127.0.0.1."""
    with socket.socket() as one, socket.socket() as other:
        one.bind((host, 0))
        number: int = one.getsockname()[1]
        other.bind(("127.0.0.1", number))
        return number


@pytest.mark.behaviour("network/dns-config")
def test_a_pod_says_itself_whom_to_ask(cluster: Cluster) -> None:
    config = {
        "nameservers": ["2.2.2.2"],
        "searches": ["resolv.conf.local"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    cluster.create("pods", pod("dns", busybox("c", "exec sleep 1000"), dnsPolicy="None", dnsConfig=config))
    cluster.create("pods", pod("host-dns", busybox("c", "exec sleep 1000"), dnsPolicy="Default"))
    cluster.ready("dns")
    cluster.ready("host-dns")
    lines = cluster.sh("dns", "c", "cat /etc/resolv.conf").splitlines()
    assert sorted(lines) == ["nameserver 2.2.2.2", "options ndots:2 edns0", "search resolv.conf.local"]
    servers = [line for line in Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("nameserver")]
    assert [line for line in cluster.sh("host-dns", "c", "cat /etc/resolv.conf").splitlines() if line.startswith("nameserver")] == servers
