"""The Pod as an object: what is read, written, watched and deleted of it while it runs."""

from __future__ import annotations

import time
from typing import Any

import pytest
import websocket
from tests.conformance.cluster import Cluster, Refused, condition, entry
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def one(cluster: Cluster) -> str:
    """A Pod that runs, with requests equal to its limits."""
    amount = {"cpu": "100m", "memory": "64Mi"}
    own = pod("one", busybox("app", f"echo 'container is alive'; {SLEEP}", resources={"limits": amount, "requests": amount}))
    cluster.run({**own, "metadata": {"name": "one", "labels": {"name": "foo", "time": "old"}}})
    return "one"


@pytest.mark.behaviour("pods/host-ip", "pods/qos")
def test_its_host_and_its_class(cluster: Cluster, one: str) -> None:
    seen = cluster.pod(one)
    addresses = [each["address"] for node in cluster.list("nodes", namespaced=False) for each in node["status"]["addresses"]]
    assert seen["status"]["hostIP"] in addresses
    assert seen["status"]["qosClass"] == "Guaranteed"


@pytest.mark.behaviour("pods/updated")
def test_a_label_changes_and_the_pod_runs_on(cluster: Cluster, one: str) -> None:
    def change() -> bool:
        held = cluster.pod(one)
        held["metadata"]["labels"]["time"] = "new"
        try:
            cluster.replace("pods", held)
        except Refused as error:
            # The node has just written its status.
            if error.code != 409:
                raise
            return False
        return True

    eventually(change, "the label is changed")
    assert [each["metadata"]["name"] for each in cluster.list("pods", labelSelector="time=new")] == [one]
    assert cluster.list("pods", labelSelector="time=old") == []
    assert condition(cluster.pod(one), "Ready") == "True"


@pytest.mark.behaviour("pods/patch-status", "pods/lifecycle")
def test_its_status_is_written_by_others_too(cluster: Cluster, one: str) -> None:
    patched = cluster.patch("pods", one, {"status": {"message": "Patched by a test", "reason": "Testing"}}, "status")
    assert (patched["status"]["message"], patched["status"]["reason"]) == ("Patched by a test", "Testing")
    cluster.patch("pods", one, {"status": {"conditions": [{"type": "example.test/seen", "status": "True"}]}}, "status")
    time.sleep(0.5)
    seen = cluster.get("pods", one, "status")
    assert seen["status"]["message"] == "Patched by a test"
    assert condition(seen, "example.test/seen") == "True"
    assert condition(seen, "Ready") == "True"


@pytest.mark.behaviour("pods/lifecycle")
def test_label_and_image_in_one_patch(cluster: Cluster) -> None:
    made = cluster.run(pod("lifecycle", busybox("app", SLEEP)))
    change = {"metadata": {"labels": {"test": "patched"}}, "spec": {"containers": [{"name": "app", "image": "nginx"}]}}
    patched = cluster.patch("pods", "lifecycle", change)
    assert patched["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert patched["spec"]["containers"][0]["image"] == "nginx"
    (found,) = cluster.list("pods", labelSelector="test=patched")
    assert found["metadata"]["name"] == "lifecycle"
    cluster.until("lifecycle", lambda of: entry(of, "app")["restartCount"] == 1 and entry(of, "app")["ready"], "restarts")
    cluster.delete("pods", "lifecycle", grace=1)
    cluster.gone("pods", "lifecycle")


def _dial(cluster: Cluster, path: str, protocol: str) -> websocket.WebSocket:
    settings = cluster.api.configuration
    ssl = {"ca_certs": settings.ssl_ca_cert, "certfile": settings.cert_file, "keyfile": settings.key_file}
    return websocket.create_connection(settings.host.replace("https", "wss") + path, subprotocols=[protocol], sslopt=ssl, timeout=30)


def _frames(connection: websocket.WebSocket) -> list[bytes]:
    """Until the server closes."""
    found = []
    while (frame := connection.recv_frame()).opcode != websocket.ABNF.OPCODE_CLOSE:
        if frame.opcode == websocket.ABNF.OPCODE_BINARY:
            found.append(frame.data)
    connection.shutdown()
    return found


@pytest.mark.behaviour("pods/exec-websocket", "pods/logs-websocket")
def test_commands_and_logs_over_websocket(cluster: Cluster, one: str) -> None:
    path = cluster.path("pods", one, "exec") + "?container=app&stdout=1&stderr=1&command=cat&command=/etc/hostname"
    frames = _frames(_dial(cluster, path, "channel.k8s.io"))
    assert b"".join(each[1:] for each in frames if each[0] == 1) == b"one\n"
    assert all(len(each) == 1 for each in frames if each[0] in (0, 2))
    logs = _dial(cluster, cluster.path("pods", one, "log") + "?container=app", "binary.k8s.io")
    assert b"".join(_frames(logs)) == b"container is alive\n"


@pytest.mark.behaviour("pods/deletecollection")
def test_a_collection_goes_by_its_label(cluster: Cluster) -> None:
    for number in (1, 2, 3):
        own = pod(f"set-{number}", busybox("app", "sleep 1000"))
        cluster.create("pods", {**own, "metadata": {**own["metadata"], "labels": {"type": "Testing"}}})
    cluster.request("DELETE", cluster.path("pods"), labelSelector="type=Testing", gracePeriodSeconds=1)
    eventually(lambda: not cluster.list("pods", labelSelector="type=Testing"), "all are gone", 60)


@pytest.mark.behaviour("pods/negative-grace")
def test_a_negative_grace_is_one_second(cluster: Cluster) -> None:
    made = cluster.create("pods", pod("negative", busybox("app", "sleep 1000"), terminationGracePeriodSeconds=-1))
    assert made["spec"]["terminationGracePeriodSeconds"] == 1
    cluster.ready("negative")
    begun = time.monotonic()
    cluster.delete("pods", "negative")
    cluster.gone("pods", "negative")
    assert time.monotonic() - begun < 20
