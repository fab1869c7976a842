"""`python -m tools.bench.cri`: each call of the runtime beside containerd's, and a pull of 200 MB beside containerd's and podman's; all in
one run, round-robin, each engine with a registry of its own on loopback, in namespaces of its own."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from tools.bench import bigimage, report
from tools.bench.__main__ import install_peers, set_up
from tools.bench.crew import Crew
from tools.bench.crilife import STEPS
from tools.bench.engine import REPO

_SERVERS = ("polong-cri", "containerd")
_PULLERS = ("polong-cri", "containerd", "podman")
_NAMES = {"polong-cri": "Polong with crun", "containerd": "containerd with runc", "podman": "podman"}
BEGIN, END = "<!-- made by `make bench-cri` from here -->", "<!-- to here -->"

# Engine to step (or "pull") to seconds.
Samples = dict[str, dict[str, list[float]]]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.cri", description="Measure the runtime alone beside containerd and podman."
    )
    parser.add_argument("--runs", type=int, default=15, help="rounds after the warm-up (default 15)")
    parser.add_argument("--pulls", type=int, default=5, help="pulls of 200 MB, after one to warm up (default 5; 0: none)")
    parser.add_argument("--docs", type=Path, help="a file to put the table into, between its marks")
    options = parser.parse_args()
    if os.getuid() != 0:
        print("bench: needs root: containers are started for real", file=sys.stderr)
        return 1
    install_peers()
    subprocess.run([sys.executable, "-m", "tools.images", "--quiet"], cwd=REPO, check=True)
    with tempfile.TemporaryDirectory(prefix="polong-bench-registry-") as work:
        blobs = Path(work) / "blobs"
        blobs.mkdir()
        print("bench: filling the registry", flush=True)
        bigimage.fill(blobs, Path(work))
        os.environ["POLONG_BENCH_REGISTRY"] = str(blobs)
        samples, versions, failures = measure(options.runs, options.pulls)
    text = table(samples, versions, options.runs)
    print(f"\n{text}")
    for engine, why in failures.items():
        print(f"bench: {engine} was left out: {why}", file=sys.stderr)
    if options.docs is not None and not failures:
        page = options.docs.read_text()
        begin, end = page.index(BEGIN) + len(BEGIN), page.index(END, page.index(BEGIN))
        options.docs.write_text(f"{page[:begin]}\n\n{text}\n\n{page[end:]}")
    return 0 if samples.get("polong-cri") else 1


def measure(runs: int, pulls: int) -> tuple[Samples, dict[str, str], dict[str, str]]:
    samples: Samples = defaultdict(lambda: defaultdict(list))
    with Crew(_PULLERS if pulls else _SERVERS) as crew:
        versions = set_up(crew)
        for engine in _SERVERS:
            crew.ask(engine, "keep")
        for number in range(runs + 1):
            for engine in _SERVERS:
                for step, seconds in (crew.ask(engine, "life", number) or {}).items():
                    if number:
                        samples[engine][step].append(seconds)
        for number in range(pulls + 1 if pulls else 0):
            for engine in _PULLERS:
                seconds = crew.ask(engine, "pull", number)
                if number and seconds is not None:
                    samples[engine]["pull"].append(seconds)
        return samples, versions, dict(crew.failures)


def table(samples: Samples, versions: dict[str, str], runs: int) -> str:
    """Medians in milliseconds, their sum, and what part of each other engine's Polong's is."""
    middle = report.medians(samples)
    engines = [engine for engine in _PULLERS if middle.get(engine)]
    lines = ["| | " + " | ".join(_NAMES[engine] for engine in engines) + " |", "|---|" + "---:|" * len(engines)]
    for step in (*STEPS, "pull"):
        cells = [_figure(middle[engine].get(step)) for engine in engines]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {'pull of 200 MB' if step == 'pull' else step} | " + " | ".join(cells) + " |")
        if step == STEPS[-1]:
            sums = {engine: sum(middle[engine][each] for each in STEPS) for engine in engines if STEPS[0] in middle[engine]}
            lines.append("| **sum of the calls** | " + " | ".join(_figure(sums.get(engine)) for engine in engines) + " |")
            if len(sums) == len(_SERVERS):
                part = sums["polong-cri"] / sums["containerd"]
    told = "; ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    facts = "; ".join(f"{name}: {value}" for name, value in report.facts().items())
    spread = "; ".join(f"{_NAMES[engine]} {report.spread(_lives(samples[engine]))}" for engine in _SERVERS if samples.get(engine))
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    ending = f"Polong's sum is {part:.2f} of containerd's. " if len(middle) > 1 else ""
    return "\n".join([*lines, "", f"{ending}Medians of {runs} rounds in ms, {date}. Whole lives: {spread}. {told}. {facts}."])


def _lives(steps: dict[str, list[float]]) -> list[float]:
    """The sum of the calls, round by round."""
    return [statistics.fsum(life) for life in zip(*(steps[step] for step in STEPS), strict=True)]


def _figure(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.0f}"


if __name__ == "__main__":
    sys.exit(main())
