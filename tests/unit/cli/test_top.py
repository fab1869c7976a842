"""`top`: what was used between two looks."""

import pytest

from polong.cli import output
from polong.cli.processes import Wanted
from polong.cli.top_looks import Top

from .conftest import Api, Run


def listing(*used: tuple[int, float, int]) -> list[dict]:
    items = [
        {"pid": pid, "hostPID": pid, "startTicks": 1, "cpuSeconds": cpu, "rssBytes": rss, "container": "c", "command": ["x"], "state": "S"}
        for pid, cpu, rss in used
    ]
    return [{"metadata": {"name": "web"}, "items": items}]


def test_percent_is_of_one_cpu_since_the_last_look() -> None:
    top = Top(Wanted("web"), "cpu")
    top.add(listing((1, 5.0, 10), (2, 1.0, 30)), 100.0)
    (seen,) = top.add(listing((1, 5.5, 10), (2, 1.0, 30), (3, 9.0, 20)), 102.0)
    assert [(each["pid"], each["cpuPercent"]) for each in seen["items"]] == [(1, 25.0), (2, 0.0), (3, 0.0)]
    assert top.summary(top.items([seen])) == "web: 3 processes, 0 running, 0 zombies; CPU 25.0%, RSS 60; by cpu"


@pytest.mark.parametrize(("key", "first"), [("m", 2), ("t", 3), ("p", 1), ("c", 1)])
def test_keys_sort(key: str, first: int) -> None:
    top = Top(Wanted("web"), "cpu")
    assert top.key(key)
    (seen,) = top.add(listing((1, 5.5, 10), (2, 1.0, 30), (3, 9.0, 20)), 102.0)
    assert seen["items"][0]["pid"] == first


def test_q_ends() -> None:
    assert not Top(Wanted("web"), "cpu").key("q")


def test_many_pods_are_one_table() -> None:
    top = Top(Wanted(everywhere=True), "memory")
    two = [*listing((1, 1.0, 10)), {**listing((2, 1.0, 30))[0], "metadata": {"name": "two", "namespace": "n"}}]
    assert [line.split()[1] for line in top.lines(top.add(two, 1.0))][:2] == ["POD", "two"]


def test_once(api: Api, polong: Run) -> None:
    api.pod()
    api.node.processes_of = listing((1, 1.0, 10))[0]["items"]
    assert polong("top", "nginx", "--interval", "0.2").out.splitlines()[1].split()[:2] == ["c", "1"]
    shown = polong("top", "nginx", "--interval", "0.2", "-o", "custom-columns=P:.pid,C:.cpuPercent").out
    assert shown.split() == ["P", "C", "1", "0.0"]
    assert "--interval must be" in polong("top", "nginx", "--interval", "0").err


def test_formats_are_parsed_once() -> None:
    assert Wanted(form=output.parse("wide")).full
    assert not Wanted().full
