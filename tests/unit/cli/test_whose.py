"""`whose`: PIDs from anywhere."""

import json

import pytest

from polong.cli.errors import Failure
from polong.cli.whose import parse

from .conftest import Api, Run

OOM = "[ 99.1] oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/p,task_memcg=/p/c1,task=java,pid=4711,uid=0"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4711", (4711, "", False)),
        (OOM, (4711, "/p/c1", True)),
        ("Memory cgroup out of memory: Killed process 4711 (java) total-vm:1kB", (4711, "", True)),
        ("CPU: 0 PID: 4711 Comm: java Not tainted", (4711, "", False)),
        ("[  1.0] java[4711]: segfault at 0 ip 00", (4711, "", False)),
        (
            "[ 4419.539144] [   4711]     0  4711    11063     6571     6066      505         0   110592        0           999 sh",
            (4711, "", False),
        ),
    ],
)
def test_lines_of_dmesg(text: str, found: tuple[int, str]) -> None:
    assert parse(text) == found


@pytest.mark.parametrize("text", ["", "java", "[123.4] usb 1-1: new device", "-5"])
def test_what_holds_no_pid(text: str) -> None:
    with pytest.raises(Failure, match="holds no PID"):
        parse(text)


def test_whose(api: Api, polong: Run) -> None:
    shown = polong("whose", "4711")
    assert shown.code == 0
    assert [line.split()[:2] for line in shown.out.splitlines()[:2]] == [["Pod:", "default/web"], ["Container:", "app"]]
    assert "OOMKilled: it has ended" in polong("whose", OOM).out
    assert json.loads(polong("whose", "4711", "-o", "json").out)["pod"]["name"] == "web"


def test_a_process_of_nobody(api: Api, polong: Run) -> None:
    shown = polong("whose", "12")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err == "host PID 12 (java -jar) belongs to no pod of this node; its cgroup is /x\n"
