"""lifecycle.stopSignal (KEP-4960): what ends a container is what its Pod says, else its image, else SIGTERM."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused, statuses
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]

# Tells which signal ended it, in its exit code: 40 + the number.
TELLS = 'for n in 1 2 3 10 12 15; do trap "exit $((40 + n))" $n; done; touch /tmp/up; while :; do sleep 0.05; done'


def signalled(name: str, signal: str, *, share: bool = False, **fields: Any) -> Json:
    container = busybox("c", TELLS, lifecycle={"stopSignal": signal}, **fields)
    return pod(name, container, os={"name": "linux"}, shareProcessNamespace=share)


@pytest.mark.behaviour("termination/stop-signal")
@pytest.mark.parametrize("share", [False, True])
def test_the_pods_word_goes_before_the_images(cluster: Cluster, share: bool) -> None:
    name = f"usr1-{share}".lower()
    probe = {"exec": {"command": ["test", "-e", "/tmp/dies"]}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.create("pods", signalled(name, "SIGUSR1", share=share, livenessProbe={**probe, "initialDelaySeconds": 2}))
    made = cluster.ready(name)
    assert statuses(made)["c"]["stopSignal"] == "SIGUSR1"
    found = cluster.until(name, lambda seen: statuses(seen)["c"]["restartCount"], "its probe restarts it")
    assert statuses(found)["c"]["lastState"]["terminated"]["exitCode"] == 50


@pytest.mark.behaviour("termination/stop-signal")
def test_names_beyond_the_usual_and_the_default(cluster: Cluster) -> None:
    plain = pod("default", busybox("c", TELLS), {**signalled("x", "SIGRTMIN+3")["spec"]["containers"][0], "name": "realtime"})
    web = {"name": "web", "image": "nginx", "imagePullPolicy": "IfNotPresent"}
    spec = {**plain["spec"], "os": {"name": "linux"}, "containers": [*plain["spec"]["containers"], web]}
    cluster.create("pods", {**plain, "spec": spec})
    made = cluster.ready("default")
    expected = {"c": "SIGTERM", "realtime": "SIGRTMIN+3", "web": "SIGQUIT"}
    assert {name: each["stopSignal"] for name, each in statuses(made).items()} == expected


@pytest.mark.behaviour("termination/stop-signal")
def test_refusals(cluster: Cluster) -> None:
    nameless = signalled("nameless", "SIGUSR1")
    del nameless["spec"]["os"]
    for body, message in (
        (nameless, "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"),
        (signalled("odd", "SIGODD"), 'spec.containers[0].lifecycle.stopSignal: Unsupported value: "SIGODD"'),
    ):
        with pytest.raises(Refused) as refused:
            cluster.create("pods", body)
        assert (refused.value.code, message in refused.value.message) == (422, True), refused.value
