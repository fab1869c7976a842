"""The command line as a whole: help, mistakes, no server."""

import subprocess
import sys

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


def test_a_command_imports_no_more_than_it_needs() -> None:
    """A tenth of a second is all that `polong get` takes; each of these would add to it."""
    heavy = {"aiohttp", "cryptography", "grpclib", "msgspec", "rich", "sqlite3", "yaml", "polong.api", "polong.daemon", "polong.kubelet"}
    load = "[registry.load(name) for name in ('get', 'describe', 'logs')]"
    script = f"import sys, polong.client.kubeconfig; from polong.cli import app, registry; {load}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()
