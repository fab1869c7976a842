"""`polong access`: every verdict equals what the kernel does when a process of that container tries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import access_probe as probe
from tests.e2e.access_probe import ACTIONS
from tests.e2e.cluster import Client, busybox, nginx, pod

Json = dict[str, Any]

ALL = ("ALL",)
GRID = [
    probe.container("r-none", 0, drop=ALL),
    probe.container("r-kill", 0, drop=ALL, add=("KILL",)),
    probe.container("r-ptrace", 0, drop=ALL, add=("SYS_PTRACE",)),
    probe.container("r-dac", 0, drop=ALL, add=("SYS_PTRACE", "DAC_READ_SEARCH")),
    probe.container("r-admin", 0, drop=ALL, add=("SYS_ADMIN", "DAC_READ_SEARCH")),
    probe.container("r-default", 0),
    probe.container("r-hidden", 0, drop=ALL, hidden=True),
    probe.container("a-none", 1000, drop=ALL),
    probe.container("a-kill", 1000, drop=ALL, add=("KILL",)),
    probe.container("a-ptrace", 1000, drop=ALL, add=("SYS_PTRACE",)),
    probe.container("a-default", 1000),
    probe.container("a-nnp", 1000, allowPrivilegeEscalation=False),
    probe.container("a-hidden", 1000, hidden=True),
    probe.container("a-group", 1000, runAsGroup=7),
    probe.container("b-none", 1001, drop=ALL),
    probe.container("b-default", 1001),
]


@pytest.fixture(scope="module")
def grid(polong: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Json]:
    """The PodAccess of a shared Pod with all of GRID."""
    # Below a directory of pytest's that only root may enter: a bind mount does not ask.
    directory = probe.build(tmp_path_factory.mktemp("probe"))
    polong.apply(pod("grid", *GRID, shareProcessNamespace=True, volumes=[probe.volume(directory)]))
    try:
        polong.ready("grid")
        yield json.loads(polong("access", "grid", "-o", "json"))
    finally:
        polong.delete("grid")


def tried(polong: Client, caller: str, *words: str) -> dict[int, dict[str, bool]]:
    return probe.parse(polong("exec", "grid", "-c", caller, "--", f"{probe.MOUNT}/probe", "try", *words))


@pytest.mark.parametrize("caller", [each["name"] for each in GRID])
def test_verdicts_are_what_the_kernel_does(polong: Client, grid: Json, caller: str) -> None:
    items = [item for item in grid["items"] if item["from"] == caller]
    assert len(items) == len(GRID)  # all others, and /pause
    found = tried(polong, caller, *(str(item["process"]["pid"]) for item in items))
    told = {item["to"]: {action: item["verdicts"][action]["allowed"] for action in ACTIONS} for item in items}
    done = {item["to"]: found[item["process"]["pid"]] for item in items}
    assert told == done


def test_what_setuid_opens_is_really_open(polong: Client, grid: Json) -> None:
    """An `indirect` verdict, carried out: the root of the default capabilities takes the other's user and is let in."""
    items = [item for item in grid["items"] if item["from"] == "r-default" and item["process"]["uid"] == 1000]
    assert any(item["verdicts"]["environ"]["indirect"] for item in items)
    for item in items:
        group = "7" if item["to"] == "a-group" else "1000"
        pid = item["process"]["pid"]
        found = tried(polong, "r-default", "become", "1000", group, str(pid))[pid]
        possible = {name: verdict["allowed"] or bool(verdict["indirect"]) for name, verdict in item["verdicts"].items()}
        assert {name for name in ACTIONS if found[name]} <= {name for name in ACTIONS if possible[name]}, item["to"]
        assert all(found[name] for name, verdict in item["verdicts"].items() if verdict["indirect"]), item["to"]


def test_the_change_that_is_named_changes_it(polong: Client, tmp_path: Path) -> None:
    """Refused, then the YAML line that the answer names, then allowed: with real containers."""
    directory = probe.build(tmp_path)
    both = [probe.container("one", 0, drop=ALL), probe.container("two", 1000)]

    def run(*containers: Json) -> tuple[Json, bool]:
        polong.apply(pod("changed", *containers, shareProcessNamespace=True, volumes=[probe.volume(directory)]))
        try:
            polong.ready("changed")
            answer = json.loads(polong("access", "changed", "--from", "one", "--to", "two", "-o", "json"))
            (item,) = answer["items"]
            number = str(item["process"]["pid"])
            text = polong("exec", "changed", "-c", "one", "--", f"{probe.MOUNT}/probe", "try", number)
            return item["verdicts"]["root"], probe.parse(text)[int(number)]["root"]
        finally:
            polong.delete("changed")

    verdict, real = run(*both)
    assert (verdict["allowed"], real) == (False, False)
    assert verdict["rule"] == "uid"
    assert verdict["change"] == ["containers[one].securityContext.capabilities.add: [SYS_PTRACE]"]
    verdict, real = run(probe.container("one", 0, drop=ALL, add=("SYS_PTRACE",)), both[1])
    assert (verdict["allowed"], real, verdict["rule"]) == (True, True, "CAP_SYS_PTRACE")


def test_isolated_containers_do_not_reach_each_other(polong: Client) -> None:
    polong.apply(pod("apart", busybox("one", "sleep 1000"), busybox("two", "sleep 1000")))
    try:
        polong.ready("apart")
        items = json.loads(polong("access", "apart", "-o", "json"))["items"]
        assert {(item["from"], item["to"]) for item in items} >= {("one", "two"), ("two", "one")}
        for item in items:
            assert {verdict["rule"] for verdict in item["verdicts"].values()} == {"pid-namespace"}
            assert item["verdicts"]["see"]["change"] == ["shareProcessNamespace: true"]
        assert "different PID namespaces" in polong("access", "apart")
    finally:
        polong.delete("apart")


def test_every_process_of_a_container_is_told(polong: Client) -> None:
    polong.apply(pod("workers", nginx(), busybox("shell", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("workers")
        text = polong("access", "workers", "--from", "shell", "--to", "nginx")
        assert "nginx: master" in text
        assert "nginx: worker" in text
    finally:
        polong.delete("workers")


def test_what_cannot_be_told_is_said_in_one_line(polong: Client) -> None:
    assert "not found" in polong.try_("access", "nobody").stderr
    polong.apply(pod("alone", busybox("one", "sleep 1000")))
    try:
        polong.ready("alone")
        wrong = polong.try_("access", "alone", "--from", "on")
        assert wrong.returncode == 1
        assert wrong.stderr == "error: container on not found in pod alone; it has: one; did you mean 'one'?\n"
    finally:
        polong.delete("alone")
