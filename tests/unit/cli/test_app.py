"""The command line as a whole: help, mistakes, no server."""

import subprocess
import sys

import pytest

from .conftest import Api, Run


def test_no_server_is_one_line(api: Api, polong: Run) -> None:
    result = polong("get", "pods", "--server", "https://127.0.0.1:1")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "127.0.0.1:1" in result.err


def test_every_command_has_help_with_examples(polong: Run) -> None:
    from polong.cli import registry

    for name in registry.names():
        out = polong(name, "--help").out
        assert name == "images" or out.count(f"  polong {name}") >= 2 or out.count("polong completion") >= 2, name


def test_mistyped_commands(polong: Run) -> None:
    result = polong("gett", "pods")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: unknown command 'gett'; did you mean 'get'?")


@pytest.mark.parametrize(
    ("verb", "instead"), [("run", "use `polong apply -f`, or kubectl"), ("edit", "own; use kubectl"), ("cp", "`polong files cp`")]
)
def test_kubectls_other_verbs_are_pointed_to(polong: Run, verb: str, instead: str) -> None:
    result = polong(verb, "x")
    assert result.code == 2
    assert instead in result.err.splitlines()[0]


def test_what_is_told_of_kubectls_verbs_is_true() -> None:
    """None of them is a command here, and what is named in their place is one."""
    from polong.cli import registry, unknown

    assert not unknown.KUBECTL.keys() & set(registry.names())
    assert {words.split()[1] for words in unknown.KUBECTL.values() if words} <= set(registry.names())


def test_a_command_imports_no_more_than_it_needs() -> None:
    """A tenth of a second is all that `polong get` takes; each of these would add to it."""
    heavy = {"aiohttp", "cryptography", "grpclib", "msgspec", "rich", "sqlite3", "yaml", "polong.api", "polong.daemon", "polong.kubelet"}
    load = "[registry.load(name) for name in ('get', 'describe', 'logs')]"
    script = f"import sys, polong.client.kubeconfig; from polong.cli import app, registry; {load}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()
