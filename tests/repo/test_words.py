"""What no tracked file may contain: paths of one machine, addresses of package mirrors, conflict marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.repo.checkout import ROOT, tracked

# In two parts, so that this file does not contain them.
FORBIDDEN = [
    "/work" + "/main",
    "/work" + "/shared",
    "/tmp" + "/w/",
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "deb.debian" + ".org",
    "registry.npmjs" + ".org",
    "proxy.golang" + ".org",
    "<<<<" + "<<< ",
    ">>>>" + ">>> ",
]


def _texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path, path.read_text()))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize("word", FORBIDDEN)
def test_no_tracked_file_contains(word: str) -> None:
    assert [str(path.relative_to(ROOT)) for path, text in _texts() if word in text] == []
