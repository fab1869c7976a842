"""Unit tests mirror the tree: tests/unit/<package>/test_<module>.py tests src/polong/<package>/<module>.py.

`test_<module>_<aspect>.py` is allowed where one file would grow too long.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.repo.checkout import ROOT, SRC

UNIT = ROOT / "tests" / "unit"


@pytest.mark.parametrize("path", sorted(UNIT.rglob("test_*.py")), ids=lambda path: str(path.relative_to(UNIT)))
def test_a_unit_test_has_its_module(path: Path) -> None:
    package = SRC / path.parent.relative_to(UNIT)
    assert package.is_dir(), f"there is no package {package.relative_to(ROOT)}"
    words = path.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
    assert any((package / f"{name}.py").is_file() or (package / name / "__init__.py").is_file() for name in names), (
        f"no module {names[0]} in {package.relative_to(ROOT)}"
    )
