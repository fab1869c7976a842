from typing import Any

import pytest
from tests.unit.kubelet.doubles import container, pod

from polong.kubelet.containers import container_resources
from polong.kubelet.resources import Machine, oom_score, pod_limits

GIB = 1 << 30
MACHINE = Machine(memory=4 * GIB, milli_cpu=2000)


def sized(cpu: tuple[str, str] | None = None, memory: tuple[str, str] | None = None) -> dict[str, Any]:
    requests, limits = {}, {}
    for name, pair in (("cpu", cpu), ("memory", memory)):
        if pair is not None:
            requests |= {name: pair[0]} if pair[0] else {}
            limits |= {name: pair[1]} if pair[1] else {}
    return container(resources={"requests": requests, "limits": limits})


@pytest.mark.parametrize(
    ("own", "score"),
    [
        (container(), 1000),
        (sized(("1", "1"), ("1Gi", "1Gi")), -997),
        (sized(memory=("1Gi", "")), 750),
        (sized(cpu=("1", "")), 999),
        (sized(memory=("4Gi", "")), 3),
    ],
)
def test_the_score_follows_the_class_of_service(own: dict[str, Any], score: int) -> None:
    assert oom_score(pod(own), own, MACHINE) == score


def test_the_score_is_never_below_what_may_be_set() -> None:
    own = sized(("1", "1"), ("1Gi", "1Gi"))
    assert oom_score(pod(own), own, Machine(4 * GIB, 2000, lowest_score=0)) == 0


def test_shares_quota_and_limit() -> None:
    own = sized(("250m", "500m"), ("", "64Mi"))
    found = container_resources(pod(own), own, MACHINE)
    assert (found.cpu_shares, found.cpu_quota, found.cpu_period, found.memory_limit_in_bytes) == (256, 50_000, 100_000, 64 << 20)


def test_nothing_asked_for_is_the_least_share_and_no_limit() -> None:
    found = container_resources(pod(), container(), MACHINE)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit_in_bytes) == (2, 0, 0)


def test_a_limit_is_the_request_that_was_not_given() -> None:
    own = sized(cpu=("", "1"))
    assert container_resources(pod(own), own, MACHINE).cpu_shares == 1024


def test_the_pod_is_limited_only_when_all_its_containers_are() -> None:
    limited = {**sized(("1", "1"), ("1Gi", "1Gi")), "name": "a"}
    assert pod_limits(pod(limited, {**limited, "name": "b"})).memory == 2 * GIB
    assert pod_limits(pod(limited, container("b"))).memory is None
    assert pod_limits(pod(limited, container("b"))).quota is None


def test_init_containers_need_what_they_need_at_one_time() -> None:
    def own(name: str, gib: int, **fields: Any) -> dict[str, Any]:
        return sized(memory=(f"{gib}Gi", f"{gib}Gi")) | {"name": name, **fields}

    car = own("car", 1, restartPolicy="Always")
    assert pod_limits(pod(own("app", 2), initContainers=[car, own("step", 1)])).memory == 3 * GIB
    assert pod_limits(pod(own("app", 2), initContainers=[car, own("step", 4)])).memory == 5 * GIB
    assert pod_limits(pod(own("app", 2), initContainers=[own("step", 4), car])).memory == 4 * GIB
    assert pod_limits(pod(own("app", 2), initContainers=[container("step")])).memory is None
