"""The change of the Pod that `polong access` names, carried out: the verdict turns over, and the kernel agrees when it is tried."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e import access_probe as probe
from tests.e2e.cluster import Client, Node, busybox, pod
from tests.e2e.test_access import ALL

Json = dict[str, Any]

NO_PTRACE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace", "kill"], "action": "SCMP_ACT_ERRNO"}]}
TARGETS = [
    probe.container("t-root", 0),
    probe.container("t-user", 1000),
    probe.container("t-none", 0, drop=ALL),
    probe.container("t-hidden", 1000, hidden=True),
]
CALLERS = [
    probe.container("r-none", 0, drop=ALL),
    probe.container("r-default", 0),
    probe.container("r-kill", 0, add=("KILL",), drop=("SETUID",)),
    probe.container("r-ptrace", 0, add=("SYS_PTRACE", "DAC_READ_SEARCH"), drop=ALL),
    probe.container("r-privileged", 0, privileged=True),
    probe.container("u-user", 1000),
    probe.container("u-group", 1000, runAsGroup=7),
    probe.container("u-other", 1001, runAsNonRoot=True, allowPrivilegeEscalation=False),
    probe.container("u-filtered", 1000, seccompProfile={"type": "Localhost", "localhostProfile": "no-ptrace.json"}),
]
del CALLERS[7]["securityContext"]["runAsGroup"]
LINE = re.compile(r"(containers|initContainers)\[([a-z0-9-]+)\]\.securityContext\.([A-Za-z.]+): (.*)")


def carried_out(container: Json, lines: list[str]) -> Json:
    """A copy of the container with the lines applied, as a user would type them."""
    made = copy.deepcopy(container)
    for line in lines:
        found = LINE.fullmatch(line)
        assert found, line
        assert (found[1], found[2]) == ("containers", container["name"])
        *path, last = found[3].split(".")
        place = made["securityContext"]
        for step in path:
            place = place.setdefault(step, {})
        place[last] = yaml.safe_load(found[4])
    return made


@pytest.fixture(scope="module")
def volume(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Json]:
    profile = node.root / "kubelet" / "seccomp" / "no-ptrace.json"
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text(json.dumps(NO_PTRACE))
    yield probe.volume(probe.build(tmp_path_factory.mktemp("probe")))
    profile.unlink()


def possible(verdict: Json) -> bool:
    return bool(verdict["allowed"] or verdict["indirect"])


def items(polong: Client, name: str, *words: str) -> dict[tuple[str, str], Json]:
    found = json.loads(polong("access", name, "-o", "json", *words, timeout=120))
    return {(item["from"], item["to"]): item["verdicts"] for item in found["items"]}


def test_every_change_that_is_named_turns_its_verdict_over(polong: Client, volume: Json) -> None:
    """One Pod with a caller of each kind; then one with a copy of each caller for each change that was named for it."""
    names = {each["name"] for each in TARGETS}
    polong.apply(pod("before", *TARGETS, *CALLERS, shareProcessNamespace=True, volumes=[volume]))
    try:
        polong.ready("before")
        before = {pair: each for pair, each in items(polong, "before").items() if pair[0] not in names and pair[1] in names}
    finally:
        polong.delete("before")

    variants: dict[tuple[str, tuple[str, ...]], str] = {}
    wanted: list[tuple[str, str, str, bool]] = []
    rules = set()
    for (caller, target), verdicts in before.items():
        for action, verdict in verdicts.items():
            lines = tuple(verdict["change"])
            assert lines, (caller, target, action, verdict)
            if lines == ("shareProcessNamespace: false",):
                continue
            variant = variants.setdefault((caller, lines), f"v{len(variants)}-{caller}")
            wanted.append((variant, target, action, not possible(verdict)))
            rules.add((verdict["rule"], verdict["allowed"]))
    kinds = {"uid", "gid", "capabilities", "dumpable", "seccomp", "CAP_DAC_READ_SEARCH"}
    assert {(kind, False) for kind in kinds} <= rules, "every kind of refusal was there to be turned over"
    assert {("CAP_KILL", True), ("CAP_SYS_PTRACE", True), ("uid", True)} <= rules

    by_name = {each["name"]: each for each in CALLERS}
    changed = [{**carried_out(by_name[caller], list(lines)), "name": name} for (caller, lines), name in variants.items()]
    polong.apply(pod("after", *TARGETS, *changed, shareProcessNamespace=True, volumes=[volume]))
    try:
        polong.ready("after", 120)
        after = items(polong, "after", "--verify")
        wrong = []
        for variant, target, action, expected in wanted:
            verdict = after[variant, target][action]
            if possible(verdict) is not expected or verdict["tried"] is not verdict["allowed"]:
                wrong.append((variant, target, action, expected, verdict))
        assert not wrong, (wrong[:5], {name: lines for (_, lines), name in variants.items()})
    finally:
        polong.delete("after")


def test_sharing_is_what_opens_and_closes_the_rest(polong: Client) -> None:
    one, two = busybox("one", "sleep 100000", securityContext={"runAsUser": 0}), busybox("two", "sleep 100000")
    polong.apply(pod("apart", one, two))
    polong.apply(pod("together", one, two, shareProcessNamespace=True))
    try:
        polong.ready("apart")
        polong.ready("together")
        for name, opposite, lines in (("apart", "together", "true"), ("together", "apart", "false")):
            verdict, other = (items(polong, each, "--verify")["one", "two"]["see"] for each in (name, opposite))
            assert verdict["change"] == [f"shareProcessNamespace: {lines}"]
            assert verdict["allowed"] is verdict["tried"] is not other["allowed"]
    finally:
        polong.delete("apart")
        polong.delete("together")


def test_changes_count_as_the_pod_does_in_a_user_namespace(polong: Client) -> None:
    """The numbers of the YAML are the container's, not the node's."""
    side = {
        **busybox("side", "sleep 100000", securityContext={"runAsUser": 33}),
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
    }

    def run(**context: Any) -> Json:
        sidecar = {**side, "securityContext": {**side["securityContext"], **context}}
        app = busybox("app", "sleep 100000", securityContext={"runAsUser": 1000, "runAsGroup": 1000})
        polong.apply(pod("counted", app, initContainers=[sidecar], hostUsers=False, shareProcessNamespace=True))
        try:
            polong.ready("counted")
            return items(polong, "counted", "--verify")["side", "app"]["root"]
        finally:
            polong.delete("counted")

    verdict = run()
    assert (verdict["allowed"], verdict["tried"]) == (False, False)
    assert verdict["reason"].startswith("uid 33 is not the target's uid 1000")
    field = "initContainers[side].securityContext"
    assert verdict["change"] == [f"{field}.runAsUser: 1000", f"{field}.runAsGroup: 1000"]
    verdict = run(runAsUser=1000, runAsGroup=1000)
    assert (verdict["allowed"], verdict["tried"]) == (True, True)


def test_a_container_that_must_not_be_root_is_told_so(polong: Client, tmp_path: Path) -> None:
    """Without the line the changed Pod would not start at all."""
    rule = {"runAsNonRoot": True, "runAsUser": 1000}

    def run(context: Json) -> Json:
        spec = pod(
            "strict", busybox("one", "sleep 100000", securityContext=context), busybox("two", "sleep 100000"), shareProcessNamespace=True
        )
        spec["spec"]["containers"][1]["securityContext"] = {"runAsUser": 0, "runAsNonRoot": False}
        spec["spec"]["securityContext"] = rule
        polong.apply(spec)
        try:
            polong.ready("strict")
            return items(polong, "strict")["one", "two"]["signal"]
        finally:
            polong.delete("strict")

    verdict = run({})
    assert verdict["change"] == [
        "containers[one].securityContext.runAsNonRoot: false",
        "containers[one].securityContext.runAsUser: 0",
    ]
    assert run({"runAsNonRoot": False, "runAsUser": 0})["allowed"]
