"""Sizes that keep files and functions readable."""

from __future__ import annotations

import ast
import gc
from pathlib import Path

import pytest
from tests.repo.checkout import ROOT, sources

FILE_LINES = 600
FUNCTION_LINES = 80

# Names that collect what has no place.
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}

FILES = [*sources(), *sorted((ROOT / "tools").rglob("*.py")), *sorted((ROOT / "buildhooks").glob("*.py"))]


def _label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _parsed(text: str) -> ast.Module:
    # A finalizer that the collector runs while CPython 3.11 builds the tree confuses its depth count: SystemError, once in many runs.
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()


@pytest.mark.parametrize("path", FILES, ids=_label)
def test_file_is_within_budget(path: Path) -> None:
    text = path.read_text()
    lines = len(text.splitlines())
    assert lines <= FILE_LINES, f"{_label(path)} has {lines} lines; the budget is {FILE_LINES}"
    long = [
        f"{node.name} (line {node.lineno}): {size}"
        for node in ast.walk(_parsed(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]
    assert not long, f"functions over {FUNCTION_LINES} lines: {long}"


def test_no_drawer_files() -> None:
    assert [_label(path) for path in FILES if path.stem in DRAWERS or path.parent.name in DRAWERS] == []


def test_every_module_says_what_it_is_for() -> None:
    texts = {path: path.read_text() for path in FILES}
    assert [_label(path) for path, text in texts.items() if text.strip() and ast.get_docstring(_parsed(text)) is None] == []
