"""Linters as tests, so that pytest alone tells the truth."""

from __future__ import annotations

from tests.repo.checkout import BIN, run


def test_ruff_check() -> None:
    run(str(BIN / "ruff"), "check", ".")


def test_ruff_format() -> None:
    run(str(BIN / "ruff"), "format", "--check", ".")


def test_mypy() -> None:
    # Without a cache: two runs at once would spoil each other's.
    run(str(BIN / "mypy"), "--cache-dir=/dev/null")
