"""The annotation polong.dev/reload."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polong.objects import reload
from polong.objects.podreferences import CONFIG_MAP, SECRET, Reference
from polong.objects.reload import Rule

BOTH = frozenset({Reference(CONFIG_MAP, "web"), Reference(SECRET, "web")})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("web=nginx:HUP", Rule(BOTH, "nginx", signal.SIGHUP)),
        (" configmap/web = nginx : SIGUSR1 ", Rule(frozenset({Reference(CONFIG_MAP, "web")}), "nginx", signal.SIGUSR1)),
        ("Secret/web=nginx:1:nginx: master*", Rule(frozenset({Reference(SECRET, "web")}), "nginx", 1, "nginx: master*")),
    ],
)
def test_an_entry(text: str, rule: Rule) -> None:
    assert reload.parse(text) == ([rule], [])


def test_several_by_commas_and_lines() -> None:
    rules, problems = reload.parse("a=c:HUP,b=c:HUP\n\nc=d:USR2,\n")
    assert [next(iter(each.objects)).name for each in rules] == ["a", "b", "c"]
    assert problems == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("web", "it is not <configmap or secret>=<container>:<signal>[:<pattern>]"),
        ("web=nginx", "it is not"),
        ("=nginx:HUP", "it is not"),
        ("web=:HUP", "it is not"),
        ("web=nginx:", "it is not"),
        ("web=nginx:HUP:", "its pattern is empty"),
        ("web=nginx:HOP", "unknown signal 'HOP'"),
        ("web=nginx:0", "unknown signal"),
        ("deployment/web=nginx:HUP", "is not a name, configmap/<name> or secret/<name>"),
        ("/web=nginx:HUP", "is not a name"),
    ],
)
def test_what_is_none_is_told(text: str, why: str) -> None:
    rules, (problem,) = reload.parse(text)
    assert rules == []
    assert why in problem


@given(st.text(alphabet="a=:,/*\n ", max_size=40))
def test_anything_is_a_rule_or_a_problem(text: str) -> None:
    rules, problems = reload.parse(text)
    assert len(rules) + len(problems) == len([each for each in text.replace("\n", ",").split(",") if each.strip()])


def pod(annotation: str, **mount: str) -> dict:
    return {
        "metadata": {"annotations": {reload.ANNOTATION: annotation}},
        "spec": {
            "containers": [{"name": "nginx", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}, {"name": "shell"}],
            "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "web"}}]}}],
        },
    }


def test_a_good_annotation_has_no_warnings() -> None:
    assert reload.warnings(pod("web=nginx:HUP, configmap/web=shell:HUP")) == []
    assert reload.warnings({"metadata": {}, "spec": {}}) == []


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (pod("web=ngnix:HUP"), "the pod has no container 'ngnix'; did you mean 'nginx'?"),
        (pod("other=nginx:HUP"), "no volume shows 'other'"),
        (pod("secret/web=nginx:HUP"), "no volume shows 'web'"),
        (pod("web=nginx:HUP", subPath="a"), "'web' is mounted with subPath alone"),
        (pod("nonsense"), "entry 'nonsense' is ignored"),
    ],
)
def test_what_will_not_work_is_a_warning(made: dict, why: str) -> None:
    (warning,) = reload.warnings(made)
    assert warning.startswith('metadata.annotations["polong.dev/reload"]: ')
    assert why in warning
