"""Termination messages, and images that cannot be had."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, entry
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]


def message(cluster: Cluster, name: str) -> str:
    seen = cluster.until(name, lambda of: of["status"].get("phase") in ("Succeeded", "Failed"), "has ended")
    return str(entry(seen, "app")["state"]["terminated"].get("message", ""))


@pytest.mark.behaviour(
    "exit/message-root", "exit/message-nonroot", "exit/message-fallback", "exit/message-fallback-success", "exit/message-file-wins"
)
def test_the_last_words_of_a_container(cluster: Cluster) -> None:
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    user = {"securityContext": {"runAsUser": 10_000}, "terminationMessagePath": "/dev/termination-custom-log"}
    cases: dict[str, tuple[str, Json, str]] = {
        "root": ("echo -n DONE > /dev/termination-log", {}, "DONE"),
        "nonroot": ("echo -n DONE > /dev/termination-custom-log", user, "DONE"),
        "fallback": ("echo -n DONE; exit 1", fallback, "DONE"),
        "no-fallback": ("echo -n DONE; exit 1", {}, ""),
        "success": ("echo DONE", fallback, ""),
        "file-wins": ("echo -n OK > /dev/termination-log; echo DONE", fallback, "OK"),
        "long": ("head -c 5000 /dev/zero | tr '\\0' x > /dev/termination-log", {}, "x" * 4096),
        "tail": ("seq 1 1000; exit 1", fallback, "".join(f"{each}\n" for each in range(921, 1001))),
    }
    for name, (script, fields, _) in cases.items():
        cluster.create("pods", pod(name, busybox("app", script, **fields), restartPolicy="Never"))
    assert {name: message(cluster, name) for name in cases} == {name: expected for name, (_, _, expected) in cases.items()}


@pytest.mark.slow
@pytest.mark.behaviour("exit/image-pull")
def test_an_image_that_cannot_be_had(cluster: Cluster) -> None:
    for name, image in (("nowhere", "127.0.0.1:9/none:1"), ("refused", "Not_A_Name")):
        cluster.create("pods", pod(name, {"name": "app", "image": image}))
    cluster.create("pods", pod("here", busybox("app", "sleep 1000")))
    seen = set()

    def reason(of: Json) -> str:
        found = entry(of, "app")["state"]["waiting"].get("reason", "")
        seen.add(found)
        return str(found)

    cluster.until("nowhere", lambda of: reason(of) == "ImagePullBackOff", "backs off")
    assert seen <= {"", "ContainerCreating", "ErrImagePull", "ImagePullBackOff"}
    cluster.until("refused", lambda of: reason(of) == "InvalidImageName", "has an invalid image name")
    cluster.ready("here")
    for name in ("nowhere", "refused"):
        assert cluster.pod(name)["status"]["phase"] == "Pending"
        cluster.delete("pods", name)
        cluster.gone("pods", name)
