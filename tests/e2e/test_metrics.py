"""/metrics of a real node, read by Prometheus' own parser: who leaks zombies, who was adopted, when /pause died."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from tests.e2e.cluster import Client, Node, busybox, eventually, nginx, pod


@pytest.fixture
def scrape(kubectl: Client) -> Callable[[], dict[str, list[Any]]]:
    def samples() -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for family in parse(kubectl("get", "--raw", "/metrics")):
            for each in family.samples:
                found.setdefault(each.name, []).append(each)
        return found

    return samples


def of(samples: dict[str, list[Any]], name: str, pod_name: str) -> dict[str, float]:
    """By container."""
    return {each.labels["container"]: each.value for each in samples.get(name, ()) if each.labels["pod"] == pod_name}


LEAKS = "sh -c 'sleep 0.1 & exec sleep 100000' & exec sleep 100001"
ADOPTS = "(sleep 100002 &); exec sleep 100003"


def test_zombies_orphans_and_processes_are_counted_by_container(polong: Client, scrape: Any) -> None:
    polong.apply(pod("measured", nginx(), busybox("leaks", LEAKS), busybox("adopts", ADOPTS), shareProcessNamespace=True))
    try:
        polong.ready("measured")
        found = eventually(
            lambda: (each := scrape()) and of(each, "polong_container_zombies", "measured").get("leaks") == 1 and each, "the zombie"
        )
        assert of(found, "polong_container_zombies", "measured") == {"POD": 0, "nginx": 0, "leaks": 1, "adopts": 0}
        assert of(found, "polong_container_orphans", "measured") == {"POD": 0, "nginx": 0, "leaks": 0, "adopts": 1}
        processes = of(found, "container_processes", "measured")
        assert processes == {"POD": 1, "nginx": processes["nginx"], "leaks": 2, "adopts": 2}
        assert processes["nginx"] >= 2
        assert of(found, "container_threads", "measured")["leaks"] == 2
        assert of(found, "container_memory_working_set_bytes", "measured")["nginx"] > 0
        assert of(found, "container_cpu_usage_seconds_total", "measured")["nginx"] > 0
        phases = {each.labels["phase"]: each.value for each in found["kube_pod_status_phase"] if each.labels["pod"] == "measured"}
        assert phases == {"Pending": 0, "Running": 1, "Succeeded": 0, "Failed": 0, "Unknown": 0}
        assert found["kubelet_running_pods"][0].value >= 1
        assert {each.labels["resource"] for each in found["apiserver_storage_objects"]} >= {"pods", "nodes"}
        written = [each for each in found["apiserver_request_total"] if (each.labels["resource"], each.labels["verb"]) == ("pods", "PATCH")]
        assert sum(each.value for each in written) >= 1
        assert found["process_resident_memory_bytes"][0].value > 10 << 20
    finally:
        polong.delete("measured")
    assert not of(scrape(), "container_processes", "measured")


def test_the_death_of_pause_and_restarts_are_counted(polong: Client, scrape: Any) -> None:
    polong.apply(pod("pauses", busybox("one", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("pauses")
        before = scrape()["polong_pause_deaths_total"][0].value
        polong("signal", "pauses", "--pid", "1", "--allow-pause", "TERM")
        eventually(lambda: scrape()["polong_pause_deaths_total"][0].value == before + 1, "the death of /pause")
        eventually(lambda: of(scrape(), "kube_pod_container_status_restarts_total", "pauses") == {"one": 1}, "the restart")
    finally:
        polong.delete("pauses")


def test_it_is_not_for_everybody(node: Node, kubectl: Client) -> None:
    refused = kubectl.try_("--token=nobody", "--client-certificate=/dev/null", "get", "--raw", "/metrics")
    assert refused.returncode != 0
    assert "container_processes" not in refused.stdout
