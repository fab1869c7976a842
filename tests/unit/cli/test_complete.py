"""Tab, through click's own protocol, over a real API server."""

import pytest

from .conftest import Api, Run


@pytest.fixture
def tab(polong: Run, monkeypatch: pytest.MonkeyPatch):
    """What the shell is told for a command line that ends where the cursor stands."""

    def press(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("_POLONG_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        from polong.cli import complete
        from polong.cli.app import cli

        # As a process that is started for Tab does it.
        complete.attach(cli)
        result = polong()
        monkeypatch.delenv("_POLONG_COMPLETE")
        assert result.err == ""
        return [text.partition(",")[2] for text in result.out.split("\n") if text.partition(",")[2]]

    return press


@pytest.fixture
def running(api: Api) -> Api:
    api.pod("web", "nginx", "shell")
    api.pod("worker", "main")
    api.node.processes_of = [
        {"container": "nginx", "pid": 7, "hostPID": 70, "command": ["nginx: master"], "name": "nginx"},
        {"container": "shell", "pid": 9, "hostPID": 90, "command": ["sh"], "name": "sh"},
    ]
    return api


@pytest.mark.parametrize(
    "command", ["ps", "tree", "top", "signal", "restart", "access", "audit", "files", "debug", "exec", "attach", "logs"]
)
def test_pods(running: Api, tab, command: str) -> None:
    assert tab(f"polong {command} ") == ["web", "worker"]
    assert tab(f"polong {command} wo") == ["worker"]


@pytest.mark.parametrize(
    "line",
    [
        "ps web -c ",
        "ps -c nginx web -c ",
        "tree web --container ",
        "top pod/web -c ",
        "signal web -c ",
        "restart web -c ",
        "exec web -c ",
        "attach web -c ",
        "logs web ",
        "logs web -c ",
        "debug web -c ",
        "access web --from ",
        "access web --to ",
        "files web -c ",
    ],
)
def test_containers(running: Api, tab, line: str) -> None:
    assert tab(f"polong {line}") == ["nginx", "shell"]
    assert tab(f"polong {line}s") == ["shell"]


def test_namespaces_and_contexts(running: Api, tab) -> None:
    assert {"default", "kube-system"} <= set(tab("polong ps -n "))
    assert tab("polong -n kube-s") == ["kube-system"]
    assert tab("polong -n kube-system ps ") == []
    assert tab("polong ps --context ") == ["polong"]


def test_kinds_and_objects(running: Api, tab) -> None:
    assert {"pods", "configmaps", "roles.rbac.authorization.k8s.io"} <= set(tab("polong get "))
    assert "tokenreviews.authentication.k8s.io" not in tab("polong get ")
    assert tab("polong get pods ") == tab("polong describe po ") == ["web", "worker"]
    assert tab("polong delete pods web ") == ["worker"]
    assert tab("polong get pods/wo") == ["pods/worker"]
    assert tab("polong label pods web a=b ") == ["worker"]
    assert tab("polong get nonsense ") == []


def test_processes_and_signals(running: Api, tab) -> None:
    assert tab("polong signal web --pid ") == ["7", "9"]
    assert tab("polong signal web -c shell --pid ") == ["9"]
    assert "HUP" in tab("polong signal web ")
    assert tab("polong signal web us") == ["USR1", "USR2"]


def test_formats(tab) -> None:
    assert tab("polong ps -o ") == ["wide", "json", "yaml", "jsonpath=", "custom-columns="]
    assert tab("polong whose 1 -o j") == ["json", "jsonpath="]
    assert tab("polong top --sort-by ") == ["cpu", "memory", "time", "pid"]


def test_commands_come_without_being_imported(tab) -> None:
    assert tab("polong si") == ["signal"]
    assert tab("polong ps --all") == ["--all-namespaces"]


def test_without_a_node_nothing_is_offered_and_nothing_said(tab, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("POLONG_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for line in ("ps ", "ps web -c ", "get ", "get pods ", "ps -n ", "signal web --pid ", "ps --context "):
        assert tab(f"polong {line}") == []
    assert tab("polong signal web SIG") == []
