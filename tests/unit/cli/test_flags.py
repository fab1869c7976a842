"""kubectl's spellings mean what they mean to kubectl."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from polong.cli.flags import api_options, command, flag, optional
from polong.cli.target import Target


def run(*args: str) -> Any:
    seen: dict[str, Any] = {}

    @command("probe", help="Probe.", examples="polong probe")
    @click.argument("words", nargs=-1)
    @flag("-w", "--wait", default=True, help="Wait.")
    @flag("-t", "--tty", help="Terminal.")
    @click.option("-o", "--output")
    @optional("--dry-run", bare="client", default="none", choices=("none", "client", "server"), help="Dry.")
    @api_options
    def probe(target: Target, **kwargs: Any) -> None:
        seen.update(kwargs, target=target)

    result = CliRunner().invoke(probe, list(args))
    assert result.exit_code == 0, result.output
    return seen


@pytest.mark.parametrize(
    ("args", "wait"), [([], True), (["--wait"], True), (["--wait=true"], True), (["--wait=false"], False), (["-w=false"], False)]
)
def test_booleans_take_values(args: list[str], wait: bool) -> None:
    assert run(*args)["wait"] is wait


def test_a_boolean_does_not_eat_the_next_word() -> None:
    assert run("--wait", "pod", "x")["words"] == ("pod", "x")


@pytest.mark.parametrize(("args", "mode"), [([], "none"), (["--dry-run"], "client"), (["--dry-run=server"], "server")])
def test_optional_values(args: list[str], mode: str) -> None:
    assert run(*args, "x")["dry_run"] == mode
    assert run(*args, "x")["words"] == ("x",)


@pytest.mark.parametrize("args", [["-o", "yaml"], ["-o=yaml"], ["-oyaml"], ["--output=yaml"]])
def test_short_options_take_equals(args: list[str]) -> None:
    assert run(*args)["output"] == "yaml"


def test_what_follows_the_dashes_is_left_alone() -> None:
    assert run("x", "--", "--wait=false", "-o=y")["words"] == ("x", "--wait=false", "-o=y")


def test_api_flags_arrive_as_one_target() -> None:
    target = run("-n", "kube-system", "--kubeconfig", "/k", "--context=c")["target"]
    assert (target.namespace, target.kubeconfig, target.context) == ("kube-system", "/k", "c")


def test_a_wrong_boolean_is_refused() -> None:
    @command("probe", help="Probe.", examples="polong probe")
    @flag("--wait", help="Wait.")
    def probe(wait: bool) -> None:
        raise AssertionError

    result = CliRunner().invoke(probe, ["--wait=maybe"])
    assert result.exit_code == 2
    assert "must be true or false" in result.output
