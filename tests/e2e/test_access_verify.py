"""`polong access --verify`: tried from inside by the node, equal to what is computed and to what an independent probe does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import access_probe as probe
from tests.e2e.access_probe import ACTIONS
from tests.e2e.cluster import Client, busybox, nginx, pod
from tests.e2e.test_access import ALL, GRID

Json = dict[str, Any]

# Root that has handed its rights over and lives as another user: not what its container's configuration says.
CHANGED = {**probe.container("changed", 0), "command": [f"{probe.MOUNT}/probe", "sleep", "1001", "1001"]}


@pytest.fixture(scope="module")
def grid(polong: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Json]:
    directory = probe.build(tmp_path_factory.mktemp("probe"))
    containers = [*GRID, CHANGED]
    polong.apply(pod("verify", *containers, shareProcessNamespace=True, volumes=[probe.volume(directory)]))
    try:
        polong.ready("verify")
        done = polong.try_("access", "verify", "--verify", "-o", "json", timeout=120)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        yield json.loads(done.stdout)
    finally:
        polong.delete("verify")


def test_all_that_is_computed_was_tried_and_is_so(grid: Json) -> None:
    assert grid["notes"] == []
    assert grid["verification"]["different"] == []
    assert len(grid["items"]) == (len(GRID) + 1) ** 2
    for item in grid["items"]:
        for action, verdict in item["verdicts"].items():
            assert verdict["tried"] == verdict["allowed"], (item["from"], item["to"], action)
            if verdict["indirect"]:
                assert verdict["triedIndirect"] is True, (item["from"], item["to"], action)


@pytest.mark.parametrize("caller", ["r-none", "r-default", "r-hidden", "a-ptrace", "a-nnp", "b-default"])
def test_an_independent_probe_finds_the_same(polong: Client, grid: Json, caller: str) -> None:
    items = [item for item in grid["items"] if item["from"] == caller]
    words = [str(item["process"]["pid"]) for item in items]
    found = probe.parse(polong("exec", "verify", "-c", caller, "--", f"{probe.MOUNT}/probe", "try", *words))
    for item in items:
        assert {action: item["verdicts"][action]["tried"] for action in ACTIONS} == found[item["process"]["pid"]]


def test_the_processes_do_not_notice(polong: Client) -> None:
    """Neither a signal nor a stop reaches them, and nothing is written into the containers."""
    polong.apply(pod("unmoved", nginx(), busybox("shell", "sleep 1000", securityContext={"capabilities": {"add": ["SYS_PTRACE"]}})))
    spec = pod("calm", nginx(), busybox("shell", "sleep 1000"), shareProcessNamespace=True)
    spec["spec"]["containers"][1]["securityContext"] = {"capabilities": {"add": ["SYS_PTRACE"]}, "readOnlyRootFilesystem": True}
    polong.apply(spec)
    try:
        polong.ready("unmoved")
        polong.ready("calm")
        before = watched(polong, "calm")
        text = polong("access", "calm", "--from", "shell", "--to", "nginx", "--verify")
        assert "verdicts were tried from inside, and all came out as computed" in text
        time.sleep(0.2)
        assert watched(polong, "calm") == before
        apart = polong.json("access", "unmoved", "--verify")
        assert apart["verification"]["different"] == []
        assert {verdict["tried"] for item in apart["items"] for verdict in item["verdicts"].values()} == {False}
    finally:
        polong.delete("unmoved")
        polong.delete("calm")


def watched(polong: Client, name: str) -> dict[int, Json]:
    """Of each process what a tracer or a signal would leave: context switches apart from its own work are none while it sleeps."""
    found = {}
    for item in polong.json("ps", name)["items"]:
        status = Path(f"/proc/{item['hostPID']}/status").read_text().splitlines()
        kept = ("TracerPid", "SigPnd", "ShdPnd", "State", "voluntary_ctxt_switches")
        found[item["hostPID"]] = dict(line.split(":\t") for line in status if line.startswith(kept))
        found[item["hostPID"]]["exe"] = os.readlink(f"/proc/{item['hostPID']}/exe")  # noqa: PTH115
    return found


def test_what_runs_in_the_nodes_own_namespace_is_tried_too(polong: Client) -> None:
    one = busybox("one", "sleep 1000", securityContext={"capabilities": {"drop": list(ALL)}})
    two = busybox("two", "sleep 1000", securityContext={"runAsUser": 1000, "runAsGroup": 1000})
    polong.apply(pod("hostverify", one, two, hostPID=True))
    try:
        polong.ready("hostverify")
        found = polong.json("access", "hostverify", "--verify")
        assert found["verification"]["different"] == []
        by_pair = {(item["from"], item["to"]): item["verdicts"] for item in found["items"]}
        assert by_pair["one", "two"]["signal"]["tried"] is False
        assert by_pair["one", "two"]["see"]["tried"] is True
    finally:
        polong.delete("hostverify")


def test_a_container_that_cannot_run_one_more_process_is_said_to_be_untried(polong: Client) -> None:
    polong.apply(pod("ends", busybox("one", "sleep 1000"), busybox("two", "sleep 2; exit 0"), shareProcessNamespace=True))
    try:
        wrong = polong.try_("access", "ends", "--verify", "--from", "tow")
        assert (wrong.returncode, "did you mean 'two'?" in wrong.stderr) == (1, True)
    finally:
        polong.delete("ends")
