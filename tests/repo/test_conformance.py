"""The list of behaviours and the tests name the same things."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.repo.checkout import ROOT
from tools.conformance import behaviours, table


def _marked() -> Iterator[tuple[str, str]]:
    """(file, id) for each id in a `pytest.mark.behaviour` of the tests."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.behaviour":
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{path.name}: behaviours are named by literal strings"
                    yield path.name, str(argument.value)


def test_every_named_behaviour_is_in_the_list() -> None:
    known = behaviours.read()
    assert [(name, each) for name, each in _marked() if each not in known] == []


def test_what_critest_said_is_in_the_document() -> None:
    text = table.document(behaviours.read(), {})
    assert "\n## critest\n" in text
    assert "To repeat it:" in text
    assert "## Speed" not in text
