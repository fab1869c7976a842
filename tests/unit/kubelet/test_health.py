"""What probes say, and what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.unit.kubelet.doubles import container, pod

from polong.kubelet.containerstatus import Circumstances
from polong.kubelet.decisions import Kill, Memory
from polong.kubelet.health import Failure, Health, NoProbes, health_of
from polong.kubelet.observation import Container, Sandbox, arrange
from polong.kubelet.plan import plan
from polong.kubelet.status import pod_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = arrange([Sandbox("s0", 0, True, NOW, ("10.0.0.2",))], [Container("app0", "app", "s0", 0, "running", NOW, NOW)])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Health()),
        ({"livenessProbe": {}}, Health()),
        ({"readinessProbe": {"exec": {}}}, Health(started=True, ready=False)),
        ({"startupProbe": {"exec": {}}}, Health(started=False, ready=False)),
    ],
)
def test_before_the_first_result(fields: dict[str, object], expected: Health) -> None:
    assert health_of(container(**fields), "c1", {"c2": Health(failed=Failure("liveness"))}) == expected
    assert health_of(container(**fields), "c1", {"c1": Health()}) == Health()


def test_the_status_shows_it() -> None:
    probed = pod(container(startupProbe={"exec": {}}))
    for known, shown in [({}, (False, False)), ({"app0": Health(True, False)}, (True, False)), ({"app0": Health()}, (True, True))]:
        entry = pod_status(probed, SEEN, Circumstances(health=known), NOW)["containerStatuses"][0]
        assert (entry["started"], entry["ready"]) == shown


@pytest.mark.parametrize(
    ("policy", "failed", "grace", "message"),
    [
        ("Always", Failure("liveness"), 30, "Container app failed liveness probe, will be restarted"),
        ("OnFailure", Failure("startup", 5), 5, "Container app failed startup probe, will be restarted"),
        ("Never", Failure("liveness", 0), 0, "Container app failed liveness probe"),
    ],
)
def test_a_failed_probe_kills_with_its_own_grace(policy: str, failed: Failure, grace: int, message: str) -> None:
    memory = Memory(health={"app0": Health(failed=failed)})
    assert plan(pod(restartPolicy=policy), SEEN, memory, 0.0).stages == ((Kill("app0", "app", grace, message, replace=policy != "Never"),),)


def test_without_probes_nothing_is_known() -> None:
    probes = NoProbes()
    assert probes.watch(pod(), SEEN, lambda: None, ending=False) == {}
    probes.forget("u")
