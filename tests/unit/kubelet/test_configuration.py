"""A KubeletConfiguration over the defaults: Kubernetes' own names, and nothing that is not known is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polong.kit.errors import Invalid
from polong.kubelet.config import KubeletConfig
from polong.kubelet.configuration import configured, duration

HEAD = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
DEFAULTS = KubeletConfig(node_name="node", root_dir=Path("/r"), log_dir=Path("/l"), cgroup_parent="/c")


def test_nothing_said_is_the_defaults() -> None:
    assert configured(DEFAULTS, HEAD) == DEFAULTS
    assert (DEFAULTS.log_size, DEFAULTS.log_files, DEFAULTS.image_gc_high, DEFAULTS.max_pods) == (10 << 20, 5, 85, 110)
    assert DEFAULTS.eviction_hard == {"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"}


def test_every_setting() -> None:
    said = configured(
        DEFAULTS,
        {
            **HEAD,
            "maxPods": 250,
            "allowedUnsafeSysctls": ["net.core.*", "kernel.sem"],
            "containerLogMaxSize": "1Mi",
            "containerLogMaxFiles": 2,
            "containerLogMonitorInterval": "1m30s",
            "imageGCHighThresholdPercent": 90,
            "imageGCLowThresholdPercent": 70,
            "imageMinimumGCAge": "500ms",
            "evictionHard": {"memory.available": "5%", "pid.available": "100"},
            "evictionPressureTransitionPeriod": "0s",
            "nodeStatusUpdateFrequency": "5s",
            "nodeStatusReportFrequency": "1h",
            "clusterDNS": ["10.0.0.10"],
            "clusterDomain": "cluster.local",
        },
    )
    assert (said.max_pods, said.log_size, said.log_files, said.log_period) == (250, 1 << 20, 2, 90.0)
    assert (said.image_gc_high, said.image_gc_low, said.image_min_age) == (90, 70, 0.5)
    assert said.eviction_hard == {"memory.available": "5%", "pid.available": "100"}
    assert (said.pressure_transition, said.heartbeat, said.report) == (0.0, 5.0, 3600.0)
    assert (said.dns.servers, said.dns.searches) == (("10.0.0.10",), ("cluster.local",))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "not a kubelet configuration"),
        ({"kind": "Pod", "apiVersion": "v1"}, "apiVersion: kubelet.config.k8s.io/v1beta1"),
        ({**HEAD, "cpuManagerPolicy": "static"}, "cpuManagerPolicy: Polong has no such setting"),
        ({**HEAD, "maxPods": 0}, "maxPods: 0 must be an integer between 1"),
        ({**HEAD, "maxPods": True}, "maxPods: True"),
        ({**HEAD, "containerLogMaxSize": "big"}, "containerLogMaxSize: 'big' is not a quantity"),
        ({**HEAD, "imageMinimumGCAge": "2"}, "is not a duration"),
        ({**HEAD, "imageGCLowThresholdPercent": 85}, "must be less than"),
        ({**HEAD, "evictionHard": {"memory": "1"}}, 'unknown eviction signal "memory"'),
        ({**HEAD, "evictionHard": {"memory.available": "lots"}}, 'evictionHard.memory.available: "lots" is neither'),
        ({**HEAD, "evictionHard": {"memory.available": "101%"}}, "neither a quantity nor a percentage"),
        ({**HEAD, "evictionHard": []}, "must be a map"),
        ({**HEAD, "clusterDNS": "10.0.0.1"}, "clusterDNS: must be a list"),
    ],
)
def test_what_is_refused(document: Any, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        configured(DEFAULTS, document)
    assert words in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0.0), ("1.5h", 5400.0), ("2m30s", 150.0), ("250ms", 0.25)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text, "x") == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "-1s", "1s2", "1.2.3s", None, "١s"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(Invalid):
        duration(text, "x")


@pytest.mark.parametrize("wrong", ["vm.swappiness", "kernel.*", "a b", "net", "*"])
def test_only_namespaced_sysctls_can_be_allowed(wrong: str) -> None:
    with pytest.raises(Invalid, match="allowedUnsafeSysctls"):
        configured(DEFAULTS, {**HEAD, "allowedUnsafeSysctls": [wrong]})
