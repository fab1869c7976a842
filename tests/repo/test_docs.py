"""Documents tell the truth: commands that they show exist, links lead somewhere, the reference of commands is the `--help` of today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.repo.checkout import ROOT

from polong.cli import registry

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def _label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _commands(path: Path) -> list[str]:
    """Lines of code blocks and heads of examples that are commands, without prompt and path."""
    text = path.read_text()
    if path.suffix == ".yaml":
        lines = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    else:
        lines = "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)).splitlines()
        lines += re.findall(r"`((?:make|polong) [^`]+)`", text)
    lines = [line.strip().removeprefix("# ").removeprefix("$ ").removeprefix("sudo ").removeprefix(".venv/bin/") for line in lines]
    return [line for line in lines if re.match(r"(make|polong) [a-z]", line)]


@pytest.mark.parametrize("path", [*DOCUMENTS, *EXAMPLES], ids=_label)
def test_commands_in_it_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for line in _commands(path):
        program, word = re.match(r"(\S+) ([a-z][a-z-]*)", line).groups()  # type: ignore[union-attr]
        if word not in (targets if program == "make" else registry.names()):
            wrong.append(line)
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=_label)
def test_relative_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    files = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in files if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=_label)
def test_an_example_says_what_to_type(path: Path) -> None:
    assert any("apply -f examples/" + path.name in line for line in _commands(path))
    assert "Pod" in {document["kind"] for document in yaml.safe_load_all(path.read_text())}


def test_make_targets_are_documented() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert targets == explained


def test_the_tables_of_the_api_are_those_of_its_registry() -> None:
    from tools.served import PAGE, render

    def rows(page: str) -> list[str]:
        # The last column names tests, of which there may be more every day.
        return [line.rpartition(" | ")[0] for line in page.splitlines() if line.startswith("|")]

    page = PAGE.read_text()
    assert rows(page) == rows(render(page)), "docs/api.md is old: make reference"


def test_the_reference_of_commands_is_what_help_says() -> None:
    from tools.reference import render

    assert (ROOT / "docs" / "cli.md").read_text() == render(), "docs/cli.md is old: make reference"


def test_decisions_have_their_four_parts() -> None:
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        parts = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert parts[:4] == ["Context", "Decision", "Consequences", "Rejected alternatives"], path.name


def test_the_index_names_every_decision() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert [path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md") if f"({path.name})" not in index] == []


def test_the_tests_that_security_names_exist() -> None:
    """Cells hold `FILE` and then beginnings of names, up to the next file."""
    text = (ROOT / "docs" / "security.md").read_text()
    missing = []
    for file, names in re.findall(r"`([a-z0-9/_]+\.py)` ([a-z0-9_, ]*)", text):
        found = (ROOT / "tests" / file).read_text() if (ROOT / "tests" / file).exists() else ""
        # A name ends where a sentence begins.
        wanted = [name for name in names.split(", ") if "_" in name.split(" ")[0] or name.strip() in {"rights", "cgroups"}]
        missing += [f"{file}: {name}" for name in wanted if f"def test_{name.split(' ')[0].strip()}" not in found]
    assert missing == []
