"""Strategic merge: fixed cases, properties, and kubectl's own merge (`kubectl patch --local`) as the judge."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polong.kit.errors import BadRequest
from polong.objects import strategic_merge
from polong.objects.schema import type_of

Json = dict[str, Any]
POD = type_of("v1", "Pod")


def spec(**fields: Any) -> Json:
    return {"spec": fields}


def c(name: str, **fields: Any) -> Json:
    return {"name": name, **fields}


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        (spec(containers=[c("a", image="x"), c("b")]), spec(containers=[c("a", image="y")]), spec(containers=[c("a", image="y"), c("b")])),
        (spec(containers=[c("a"), c("b")]), spec(containers=[{"$patch": "delete", "name": "a"}]), spec(containers=[c("b")])),
        (spec(containers=[c("a")]), spec(containers=[c("z"), {"$patch": "replace"}]), spec(containers=[c("z")])),
        (
            {"spec": {"containers": [c("a"), c("b")]}},
            {"spec": {"$setElementOrder/containers": [c("b"), c("a")]}},
            {"spec": {"containers": [c("b"), c("a")]}},
        ),
        (
            {"metadata": {"finalizers": ["a/a", "b/b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"]}},
            {"metadata": {"finalizers": ["b/b"]}},
        ),
        ({"metadata": {"finalizers": ["a/a"]}}, {"metadata": {"finalizers": ["b/b"]}}, {"metadata": {"finalizers": ["b/b", "a/a"]}}),
        (
            spec(volumes=[c("v", emptyDir={})]),
            spec(volumes=[{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]),
            spec(volumes=[c("v", hostPath={"path": "/x"})]),
        ),
        (spec(nodeSelector={"a": "b"}), spec(nodeSelector={"$patch": "replace", "c": "d"}), spec(nodeSelector={"c": "d"})),
        (spec(nodeSelector={"a": "b"}), spec(nodeSelector={"$patch": "delete"}), {"spec": {}}),
        (spec(tolerations=[{"key": "a"}]), spec(tolerations=[{"key": "b"}]), spec(tolerations=[{"key": "b"}])),
        (spec(hostPID=True), spec(hostPID=None), {"spec": {}}),
        (
            {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "x"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "x"}]}},
        ),
    ],
)
def test_apply(original: Json, patch: Json, expected: Json) -> None:
    before = deepcopy(original)
    assert strategic_merge.apply(original, patch, POD) == expected
    assert original == before


@pytest.mark.parametrize(
    "patch",
    [
        {"$patch": "nonsense"},
        spec(containers=[{"image": "x"}]),
        spec(containers=["x"]),
        {"spec": {"$setElementOrder/containers": "x"}},
        {"spec": {"$retainKeys": "x"}},
    ],
)
def test_malformed_patches(patch: Json) -> None:
    with pytest.raises(BadRequest):
        strategic_merge.apply(spec(containers=[c("a")]), patch, POD)


def make_pod(seed: int) -> Json:
    pick = random.Random(seed)

    def some(values: str, least: int = 0) -> list[str]:
        return pick.sample(values, pick.randint(least, len(values)))

    def container(name: str) -> Json:
        made: Json = {"name": name, "image": pick.choice("xyz")}
        if env := some("ABC"):
            made["env"] = [{"name": one, "value": pick.choice("12")} for one in env]
        if args := some("pqr"):
            made["args"] = args
        if ports := some("123"):
            made["ports"] = [{"containerPort": int(port), "protocol": pick.choice(["TCP", "UDP"])} for port in ports]
        return made

    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "labels": {one: pick.choice("12") for one in some("abc", 1)}},
        "spec": {"containers": [container(f"c{one}") for one in some("1234", 1)]},
    }
    if volumes := some("uvw"):
        sources = ({"emptyDir": {}}, {"emptyDir": {"medium": "Memory"}}, {"hostPath": {"path": "/x"}})
        pod["spec"]["volumes"] = [{"name": one, **deepcopy(pick.choice(sources))} for one in volumes]
    if finalizers := some("abc"):
        pod["metadata"]["finalizers"] = [f"{one}/{one}" for one in finalizers]
    return pod


seeds = st.integers(0, 10**9)


@given(seeds, seeds)
@settings(max_examples=150)
def test_the_diff_of_two_is_their_difference(one: int, other: int) -> None:
    """With nobody else writing, applying the diff gives what was wanted."""
    last, wanted = make_pod(one), make_pod(other)
    patch = strategic_merge.three_way(last, wanted, last, POD)
    assert strategic_merge.apply(last, patch, POD) == wanted


@given(seeds)
def test_nothing_to_do_is_an_empty_patch(seed: int) -> None:
    pod = make_pod(seed)
    assert strategic_merge.three_way(pod, pod, pod, POD) == {}


@given(seeds, seeds, seeds)
@settings(max_examples=150)
def test_apply_is_idempotent_and_keeps_what_others_added(one: int, other: int, live: int) -> None:
    last, wanted, current = make_pod(one), make_pod(other), make_pod(live)
    patch = strategic_merge.three_way(last, wanted, current, POD)
    after = strategic_merge.apply(current, patch, POD)
    assert strategic_merge.three_way(wanted, wanted, after, POD) == {}
    added = current["metadata"]["labels"].keys() - last["metadata"]["labels"].keys()
    assert added <= after["metadata"]["labels"].keys()


def test_defaults_of_the_server_are_no_difference() -> None:
    wanted = {"spec": {"containers": [c("a", image="x")]}}
    current = {"spec": {"containers": [c("a", image="x", imagePullPolicy="Always", resources={})], "dnsPolicy": "ClusterFirst"}}
    assert strategic_merge.three_way(wanted, wanted, current, POD) == {}


def pruned(pod: Json) -> Json:
    """Without what kubectl's typed round trip adds or drops: empty values."""
    pod = deepcopy(pod)
    pod.pop("status", None)
    pod["metadata"] = {name: value for name, value in pod["metadata"].items() if value and name != "creationTimestamp"}
    for one in pod["spec"].get("containers") or []:
        for name in [name for name, value in one.items() if value in ([], {}, None)]:
            del one[name]
    pod["spec"] = {name: value for name, value in pod["spec"].items() if value}
    return pod


@pytest.mark.kubectl
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on PATH")
@pytest.mark.parametrize("seed", range(12))
def test_kubectl_merges_the_same(seed: int, tmp_path: Any) -> None:
    last, wanted, current = (make_pod(seed * 3 + offset) for offset in range(3))
    patch = strategic_merge.three_way(last, wanted, current, POD)
    done = subprocess.run(
        ["kubectl", "patch", "--local", "-f", "-", "--type", "strategic", "-p", json.dumps(patch), "-o", "json"],
        input=json.dumps(current),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    assert pruned(strategic_merge.apply(current, patch, POD)) == pruned(json.loads(done.stdout))


def make_patch(seed: int, current: Json) -> Json:
    """A patch of `current` with every directive there is; orders that contradict the patch are among them."""
    pick = random.Random(seed)

    def perhaps(chance: float = 0.5) -> bool:
        return pick.random() < chance

    def entries(there: list[Json], key: str, fresh: Json) -> list[Json]:
        made: list[Json] = [
            {key: entry[key], "$patch": "delete"} if perhaps(0.4) else {**fresh, key: entry[key]} for entry in there if perhaps()
        ]
        made += [{**fresh, key: f"n{pick.randrange(3)}"}] * perhaps()
        return [*made, {"$patch": "replace"}] if perhaps(0.15) else made

    containers = current["spec"]["containers"]
    patch: Json = {"metadata": {}, "spec": {}}
    if perhaps():
        changed = entries(containers, "name", {"image": "new"})
        for one in changed:
            there = next((each for each in containers if each["name"] == one.get("name")), {})
            # In an entry that is new kubectl leaves directives as they are.
            changes = entries(there.get("env", []), "name", {"value": "new"}) if there and "$patch" not in one and perhaps() else []
            if changes:
                one["env"] = changes
                if perhaps() and {"$patch": "replace"} not in changes:
                    order = [{"name": each["name"]} for each in [*there.get("env", []), *changes] if "name" in each]
                    one["$setElementOrder/env"] = pick.sample(order, len(order))
            if "$patch" not in one and perhaps(0.3):
                one["args"] = pick.choice([["z"], None, []])
        patch["spec"]["containers"] = changed
        if perhaps() and {"$patch": "replace"} not in changed:
            names = {each["name"] for each in [*containers, *changed] if "name" in each and each.get("$patch") != "delete"}
            patch["spec"]["$setElementOrder/containers"] = [{"name": name} for name in pick.sample(sorted(names), len(names))]
    if perhaps():
        fresh = pick.choice([{"emptyDir": {}}, {"hostPath": {"path": "/y"}}])
        volumes = entries(current["spec"].get("volumes", []), "name", fresh)
        for one in volumes:
            known = any(each["name"] == one.get("name") for each in current["spec"].get("volumes", []))
            if "$patch" not in one and known and perhaps():
                one["$retainKeys"] = ["name", next(iter(fresh))]
        patch["spec"]["volumes"] = volumes
    if perhaps():
        labels: Json = {"new": "1", **{name: None for name in current["metadata"]["labels"] if perhaps(0.3)}}
        if perhaps(0.3):
            labels["$patch"] = pick.choice(["replace", "delete"])
        patch["metadata"]["labels"] = labels
    finalizers = current["metadata"].get("finalizers", [])
    if perhaps():
        gone = [one for one in finalizers if perhaps()]
        patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = [*gone, "no/ne"]
    if perhaps():
        patch["metadata"]["finalizers"] = ["new/new", *finalizers[:1]]
        order = sorted({*finalizers, "new/new"} - set(patch["metadata"].get("$deleteFromPrimitiveList/finalizers", ())))
        if perhaps():
            patch["metadata"]["$setElementOrder/finalizers"] = pick.sample(order, len(order))
    return patch


@pytest.mark.kubectl
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on PATH")
@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 60, 10)], ids=str)
def test_kubectl_obeys_directives_the_same(seeds: range, tmp_path: Any) -> None:
    for seed in seeds:
        current = make_pod(seed)
        patch = make_patch(seed, current)
        done = subprocess.run(
            ["kubectl", "patch", "--local", "-f", "-", "--type", "strategic", "-p", json.dumps(patch), "-o", "json"],
            input=json.dumps(current),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        )
        try:
            ours: Json | None = strategic_merge.apply(current, patch, POD)
        except BadRequest:
            ours = None
        assert (ours is None) == (done.returncode != 0), (seed, done.stderr, patch)
        if ours is not None:
            assert pruned(ours) == pruned(json.loads(done.stdout)), (seed, patch)
