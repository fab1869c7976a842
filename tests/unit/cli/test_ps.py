"""`ps` over a real API server."""

import json

from .conftest import Api, Run

SHELL = {"container": "shell", "pid": 9, "hostPID": 99, "user": "root", "command": ["sh"], "pidNamespace": 1, "openFiles": 3}


def test_ps(api: Api, polong: Run) -> None:
    api.pod()
    api.node.processes_of = [SHELL]
    assert polong("ps", "nginx").out.splitlines()[1].split() == ["shell", "9", "99", "root", "sh"]
    assert not api.node.full
    assert json.loads(polong("ps", "nginx", "-o", "json").out)["items"][0]["hostPID"] == 99
    assert api.node.full
    assert polong("ps", "nginx", "-c", "nginx", "--no-headers").out.strip() == ""
    assert "not found in pod" in polong("ps", "nginx", "-c", "nope").err


def test_all_pods(api: Api, polong: Run) -> None:
    api.pod("one")
    api.pod("two")
    api.node.processes_of = [SHELL]
    lines = polong("ps", "-A").out.splitlines()
    assert [line.split()[:3] for line in lines if line] == [
        ["NAMESPACE", "POD", "CONTAINER"],
        ["default", "one", "shell"],
        ["default", "two", "shell"],
    ]
    assert polong("ps").out.split()[0] == "POD"
    assert polong("ps", "-l", "app=none").err.startswith("no pod in namespace default has processes")
    assert [each["kind"] for each in json.loads(polong("ps", "-A", "-o", "json").out)["items"]] == ["ProcessList", "ProcessList"]
    assert "not both" in polong("ps", "one", "-A").err


def test_columns_of_ones_own(api: Api, polong: Run) -> None:
    api.pod()
    api.node.processes_of = [SHELL]
    shown = polong("ps", "nginx", "-o", "custom-columns=POD:.pod,PID:.pid,FILES:.openFiles").out
    assert [line.split() for line in shown.splitlines()] == [["POD", "PID", "FILES"], ["nginx", "9", "3"]]
    assert "no -o name" in polong("ps", "nginx", "-o", "name").err


def test_a_pod_without_processes(api: Api, polong: Run) -> None:
    api.pod()
    api.node.processes_of = []
    shown = polong("ps", "nginx")
    assert (shown.code, shown.err) == (0, "pod nginx has no processes now: see polong get pods\n")
    assert "did you mean 'nginx'" in polong("ps", "ngnx").err
