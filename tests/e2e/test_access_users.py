"""`polong access --verify` where the Pod has a user namespace of its own: ids are others inside and outside, the verdicts are the same."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e import access_probe as probe
from tests.e2e.cluster import Client, pod
from tests.e2e.test_access import ALL

Json = dict[str, Any]

GRID = [
    probe.container("r-none", 0, drop=ALL),
    probe.container("r-default", 0),
    probe.container("r-ptrace", 0, drop=ALL, add=("SYS_PTRACE",)),
    probe.container("r-dac", 0, drop=ALL, add=("SYS_PTRACE", "DAC_READ_SEARCH")),
    probe.container("r-hidden", 0, drop=ALL, hidden=True),
    probe.container("a-none", 1000, drop=ALL),
    probe.container("a-default", 1000),
    probe.container("a-hidden", 1000, hidden=True),
]


def test_computed_is_tried_in_a_user_namespace(polong: Client, tmp_path_factory: Any) -> None:
    directory = probe.build(tmp_path_factory.mktemp("probe"))
    for parent in (directory, *directory.parents[:3]):
        parent.chmod(0o755)
    polong.apply(pod("userns", *GRID, shareProcessNamespace=True, hostUsers=False, volumes=[probe.volume(directory)]))
    try:
        polong.ready("userns")
        found = json.loads(polong.try_("access", "userns", "--verify", "-o", "json", timeout=120).stdout)
        assert found["verification"]["tried"] >= len(GRID) * len(GRID) * 6
        assert (found["notes"], found["verification"]["different"]) == ([], [])
        hidden = {item["verdicts"]["root"]["rule"] for item in found["items"] if item["to"] == "r-hidden" and item["from"] == "r-default"}
        assert hidden == {"dumpable"}
        told = {each["container"]: each["dumpable"] for each in polong.json("ps", "userns")["items"] if each["role"] == "main"}
        assert {name for name, dumpable in told.items() if dumpable is False} == {"r-hidden", "a-hidden"}
        assert None not in told.values()
        mains = [each for each in polong.json("ps", "userns")["items"] if each["role"] == "main"]
        assert len({each["userNamespace"] for each in mains}) == 1
    finally:
        polong.delete("userns")
