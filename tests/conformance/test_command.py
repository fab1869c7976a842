"""Command and arguments: what of the image they replace. nginx's image has an ENTRYPOINT and a CMD."""

from __future__ import annotations

import pytest
from tests.conformance.cluster import Cluster
from tests.e2e.cluster import pod


def _arguments(cluster: Cluster, container: str) -> list[str]:
    """Of the container's own first process."""
    return cluster.sh("command", container, "tr '\\0' '\\n' < /proc/1/cmdline").splitlines()


@pytest.mark.behaviour("command/defaults", "command/args", "command/command", "command/both")
def test_command_and_args_replace_entrypoint_and_cmd(cluster: Cluster) -> None:
    image = {"image": "busybox:1.28", "stdin": True}
    cluster.run(
        pod(
            "command",
            {"name": "defaults", **image},
            {"name": "args", **image, "args": ["sleep", "1000"]},
            {"name": "command", **image, "command": ["sleep", "1001"]},
            {"name": "both", **image, "command": ["sleep"], "args": ["1002"]},
        )
    )
    assert _arguments(cluster, "defaults") == ["sh"]
    assert _arguments(cluster, "args") == ["sleep", "1000"]
    assert _arguments(cluster, "command") == ["sleep", "1001"]
    assert _arguments(cluster, "both") == ["sleep", "1002"]
