from typing import Any

import pytest
from tests.unit.kubelet.doubles import pod

from polong.kubelet.namespaces import Mode, for_container, for_pod


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ({}, Mode.CONTAINER),
        ({"shareProcessNamespace": False}, Mode.CONTAINER),
        ({"shareProcessNamespace": True}, Mode.POD),
        ({"hostPID": True}, Mode.NODE),
        ({"hostPID": True, "shareProcessNamespace": False}, Mode.NODE),
        ({"hostPID": False, "shareProcessNamespace": True}, Mode.POD),
    ],
)
def test_pid(spec: dict[str, Any], mode: Mode) -> None:
    assert for_pod(pod(**spec)).pid is mode


def test_network_and_ipc() -> None:
    assert (for_pod(pod()).network, for_pod(pod()).ipc) == (Mode.POD, Mode.POD)
    found = for_pod(pod(hostNetwork=True, hostIPC=True))
    assert (found.network, found.ipc) == (Mode.NODE, Mode.NODE)


def test_a_target_counts_only_where_containers_are_isolated() -> None:
    assert (for_container(pod(), "c1").pid, for_container(pod(), "c1").target) == (Mode.TARGET, "c1")
    for spec in ({"shareProcessNamespace": True}, {"hostPID": True}):
        found = for_container(pod(**spec), "c1")
        assert found == for_pod(pod(**spec))
