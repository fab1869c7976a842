"""The import contracts hold, and ARCHITECTURE.md names the packages that there are."""

from __future__ import annotations

import re

from tests.repo.checkout import BIN, ROOT, SRC, run


def test_import_contracts() -> None:
    run(str(BIN / "lint-imports"), "--no-cache")


def test_the_map_names_every_package_and_no_other() -> None:
    packages = {path.parent.name for path in SRC.glob("*/__init__.py")}
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE))
    assert named == packages


def test_the_map_stays_readable() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 200
