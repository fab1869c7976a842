"""Laws of server-side apply, over objects that nobody thought of."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polong.api.apply import fieldset, managers, typed
from polong.api.apply.managers import Applied, Managed, Managers, identity
from polong.kit.errors import Conflict
from polong.objects.schema import type_of

Json = dict[str, Any]
KIND = type_of("v1", "Pod")

names = st.sampled_from(["a", "b", "c"])
values = st.sampled_from(["1", "2"])
containers = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {},
        optional={
            "image": values,
            "args": st.lists(values, max_size=2),
            "tty": st.booleans(),
            "ports": st.lists(
                st.fixed_dictionaries({"containerPort": st.integers(1, 3)}), max_size=2, unique_by=lambda p: p["containerPort"]
            ),
            "securityContext": st.fixed_dictionaries({}, optional={"runAsUser": st.integers(0, 2), "privileged": st.booleans()}),
        },
    ),
    max_size=3,
)


@st.composite
def pods(draw: st.DrawFn) -> Json:
    found = draw(containers)
    order = draw(st.permutations(sorted(found)))
    spec: Json = {"containers": [{"name": name, **found[name]} for name in order]}
    if draw(st.booleans()):
        spec["nodeSelector"] = draw(st.dictionaries(names, values, max_size=2))
    if draw(st.booleans()):
        spec["hostname"] = draw(values)
    labels = draw(st.dictionaries(names, values, max_size=3))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **({"labels": labels} if labels else {})}, "spec": spec}


EMPTY: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}


def apply(owners: Managers, live: Json, config: Json, who: str = "one", *, force: bool = True) -> Json:
    who_ = identity(who, "Apply", "v1", "")
    return managers.apply(owners, live, Applied(config, who_, Managed({}, "v1", "now"), force), KIND)


def bare(obj: Json) -> Json:
    """Empty lists and objects do not tell from absent ones."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: kept for name, value in node.items() if (kept := walk(value)) not in ({}, [])}
        return [walk(item) for item in node] if isinstance(node, list) else node

    found: Json = walk(obj)
    return found


def unordered(obj: Json) -> Json:
    found = bare(obj)
    if "containers" in found.get("spec", {}):
        found["spec"]["containers"].sort(key=lambda one: one["name"])
        for one in found["spec"]["containers"]:
            one.get("ports", []).sort(key=lambda port: port["containerPort"])
    return found


@given(pods(), pods())
@settings(max_examples=150, deadline=None)
def test_applying_twice_is_applying_once(first: Json, config: Json) -> None:
    owners = Managers()
    live = apply(owners, EMPTY, first)
    once = apply(owners, live, config)
    before = dict(owners.by)
    assert bare(apply(owners, once, config)) == bare(once)
    assert owners.by == before


@given(pods(), pods())
@settings(max_examples=150, deadline=None)
def test_the_only_manager_gets_just_what_it_says(first: Json, config: Json) -> None:
    owners = Managers()
    live = apply(owners, apply(owners, EMPTY, first), config)
    assert bare(live) == bare(config)


@given(pods(), pods(), pods())
@settings(max_examples=150, deadline=None)
def test_managers_of_different_fields_commute(base: Json, one: Json, two: Json) -> None:
    left, right = Managers(), Managers()
    start = apply(left, EMPTY, base, "base")
    right.by = dict(left.by)
    mine, theirs = typed.declared(one, KIND), typed.declared(two, KIND)
    if fieldset.intersection(mine, theirs):
        two = {**two, "metadata": {"name": "p", "annotations": {"x": "y"}}, "spec": {"containers": []}}
    a = apply(left, apply(left, start, one, "one"), two, "two")
    b = apply(right, apply(right, start, two, "two"), one, "one")
    assert unordered(a) == unordered(b)
    assert left.by == right.by


@given(pods(), pods())
@settings(max_examples=150, deadline=None)
def test_what_another_manages_stays(mine: Json, theirs: Json) -> None:
    owners = Managers()
    live = apply(owners, apply(owners, EMPTY, theirs, "two"), mine)
    after = apply(owners, live, {**EMPTY, "spec": {"containers": []}})
    assert identity("one", "Apply", "v1", "") not in owners.by
    two = owners.by.get(identity("two", "Apply", "v1", ""))
    for path in fieldset.paths(two.fields if two else {}):
        assert path in set(fieldset.paths(typed.whole(after, KIND))) | set(fieldset.paths(typed.declared(after, KIND)))


@given(pods(), pods())
@settings(max_examples=150, deadline=None)
def test_a_comparison_tells_all(old: Json, new: Json) -> None:
    comparison = managers.compare(old, new, KIND)
    assert not managers.compare(new, new, KIND)
    everything = fieldset.union(fieldset.union(comparison.added, comparison.modified), comparison.removed)
    assert bool(everything) == (unordered(old) != unordered(new)) or bare(old) == bare(new) or unordered(old) == unordered(new)
    # Without force it is the same change that is refused.
    owners = Managers()
    live = apply(owners, EMPTY, old, "two")
    conflicts = fieldset.intersection(typed.declared(live, KIND), fieldset.union(comparison.added, comparison.modified))
    with pytest.raises(Conflict) if conflicts else contextlib.nullcontext():
        apply(owners, live, new, force=False)


sets = st.recursive(
    st.just({}), lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", "v:1", "."]), inner, max_size=3), max_leaves=8
)


def clean(node: Json, *, root: bool = True) -> Json:
    found = {step: {} if step == "." else clean(child, root=False) for step, child in node.items() if not (root and step == ".")}
    return {} if set(found) == {"."} else found


@given(sets, sets)
def test_sets_obey_the_laws_of_sets(one: Json, two: Json) -> None:
    left, right = clean(one), clean(two)
    mine, theirs = set(fieldset.paths(left)), set(fieldset.paths(right))
    assert set(fieldset.paths(fieldset.union(left, right))) == mine | theirs
    assert set(fieldset.paths(fieldset.difference(left, right))) == mine - theirs
    assert set(fieldset.paths(fieldset.intersection(left, right))) == mine & theirs
