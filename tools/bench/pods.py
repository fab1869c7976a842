"""The Pod of the benchmark: the page's own, whose shell runs `sleep` as in the page's text, so that removal measures the engine.

(An interactive shell ignores SIGTERM: with it every engine would first wait for the whole grace period.)
"""

from __future__ import annotations

from typing import Any

import yaml
from tools.bench.engine import GRACE, PAGE


def page_pod(number: int) -> dict[str, Any]:
    pod: dict[str, Any] = yaml.safe_load(PAGE.read_text())
    pod["metadata"] = {"name": f"bench-{number}", "namespace": "default"}
    pod["spec"]["terminationGracePeriodSeconds"] = GRACE
    for container in pod["spec"]["containers"]:
        container["imagePullPolicy"] = "IfNotPresent"
        if container["name"] == "shell":
            container["command"] = ["sleep", "3600"]
    return pod
