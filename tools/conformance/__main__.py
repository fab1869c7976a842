"""Usage: python -m tools.conformance [--quick] [pytest arguments]"""

from __future__ import annotations

import sys

import pytest
from tools.conformance import behaviours, table


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    rest = [each for each in arguments if each != "--quick"]
    recorder = table.Recorder()
    code = pytest.main(["-q", "-m", "behaviour and not slow" if quick else "behaviour", *rest], plugins=[recorder])
    text = table.document(behaviours.read(), recorder.results)
    if not quick and not rest:
        table.FILE.write_text(text)
        print(f"wrote {table.FILE.name}")
    print(table.summary(behaviours.read(), recorder.results))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
