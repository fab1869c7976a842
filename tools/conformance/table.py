"""The table behaviour -> tests -> result, from what pytest reports."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tools.conformance.behaviours import Behaviour

_DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE = _DOCS / "conformance.md"
_CRITEST = "## critest\n"

Results = Mapping[str, Mapping[str, str]]
"""Behaviour id -> test id -> passed, failed or skipped."""

_HEAD = """# Conformance

What Kubernetes asks of one node, behaviour by behaviour, and the test against real containers that shows it. Written by `make conformance`
on {date}; do not edit. `make test` runs those that need no long wait.

Labels: **C** in Kubernetes' conformance list, **N** node conformance, **e** an end-to-end test of Kubernetes without either label,
**P** sharing of the process namespace (KEP-495 and the sources), **K** kubectl, **D** an example Pod of Kubernetes' documentation, named
after its file, with its fields and with images of ours. The runtime below the CRI seam is judged by [critest](#critest), and by the
published holes of [security.md](security.md).

{summary}
"""


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Recorder:
    """A pytest plugin: what became of each behaviour's tests."""

    results: dict[str, dict[str, str]] = field(default_factory=dict)
    _ids: dict[str, list[str]] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            self._ids[item.nodeid] = [str(each) for marker in item.iter_markers("behaviour") for each in marker.args]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for behaviour in self._ids.get(report.nodeid, ()):
            tests = self.results.setdefault(behaviour, {})
            if report.failed:
                tests[report.nodeid] = "failed"
            elif report.skipped:
                tests.setdefault(report.nodeid, "skipped")
            elif report.when == "call":
                tests.setdefault(report.nodeid, "passed")


def result(behaviour: Behaviour, results: Results) -> str:
    """passed, failed, skipped, impossible (a reason is given; a test may wait for a machine that has what it needs) or open (no test)."""
    tests = results.get(behaviour.id)
    if not tests:
        return "impossible" if behaviour.reason else "open"
    if "failed" in tests.values():
        return "failed"
    if "skipped" in tests.values():
        return "impossible" if behaviour.reason else "skipped"
    return "passed"


def summary(wanted: Mapping[str, Behaviour], results: Results) -> str:
    """How many of how many, over all and for Kubernetes' conformance list."""
    told = []
    for name, chosen in (
        ("behaviours", list(wanted.values())),
        ("of the conformance list", [b for b in wanted.values() if "C" in b.label]),
    ):
        counts: dict[str, int] = {}
        for each in chosen:
            counts[result(each, results)] = counts.get(result(each, results), 0) + 1
        rest = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()) if word != "passed")
        told.append(f"{counts.get('passed', 0)} of {len(chosen)} {name} pass{f' ({rest})' if rest else ''}")
    return "; ".join(told) + "."


def document(wanted: Mapping[str, Behaviour], results: Results) -> str:
    today = datetime.datetime.now(tz=datetime.UTC).date()
    lines = [_HEAD.format(date=today.isoformat(), summary=summary(wanted, results))]
    area = ""
    for each in wanted.values():
        if each.id.partition("/")[0] != area:
            area = each.id.partition("/")[0]
            lines.append(f"\n## {area}\n\n| behaviour | label | what is seen | result | test |\n|---|---|---|---|---|")
        tests = "<br>".join(f"`{_short(test)}`" for test in sorted(results.get(each.id, {})))
        said = f"{result(each, results)}: {each.reason}" if result(each, results) == "impossible" else result(each, results)
        lines.append(f"| {each.id.partition('/')[2]} | {each.label} | {_cell(each.text)} | {_cell(said)} | {tests} |")
    return "\n".join(lines) + f"\n\n{critest()}"


def critest(page: Path = _DOCS / "cri.md") -> str:
    """What cri.md says of critest, by hand, for a run of it cannot be had from packages: its date, what did not pass, how to repeat it."""
    _, heading, rest = page.read_text().partition(_CRITEST)
    section = rest.partition("\n## ")[0].strip()
    if not heading or not section:
        raise ValueError(f"{page} has no section {_CRITEST.strip()!r}")
    return f"{_CRITEST}\n{section}\n"


def _short(test: str) -> str:
    return test.removeprefix("tests/")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
