"""`python -m tools.bench [--runs N] [--only ENGINE ...]`: see the package."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.bench import report
from tools.bench.crew import Crew
from tools.bench.engine import GRACE, REPO

PEERS = ("podman", "catatonit", "netavark", "containerd", "runc")
PODS_FOR_MEMORY = 4

# A round of one engine: two Pods of the same name, one after the other.
ACTIONS = ("start", "execute", "remove", "start", "kill")


def main() -> int:
    options = arguments()
    if os.getuid() != 0:
        print("bench: needs root: containers are started for real", file=sys.stderr)
        return 1
    install_peers()
    subprocess.run([sys.executable, "-m", "tools.images", "--quiet"], cwd=REPO, check=True)
    samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with Crew(options.only) as crew:
        versions = set_up(crew)
        measure(crew, options.runs, samples)
        failures = dict(crew.failures)
    result = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": report.facts(),
        "versions": versions,
        "runs": options.runs,
        "grace_seconds": GRACE,
        "failures": failures,
        "medians": report.medians(samples),
        "samples": samples,
    }
    write(options.json, result)
    print_report(result, samples)
    if options.readme and not failures:
        readme = REPO / "README.md"
        readme.write_text(report.insert(readme.read_text(), report.passage(result, samples)))
    return 1 if not samples.get("polong", {}).get("start") else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure Polong beside podman and containerd, in one run.")
    parser.add_argument("--runs", type=int, default=10, help="rounds after the warm-up (default 10)")
    parser.add_argument("--only", nargs="+", choices=list(report.COLUMNS), default=list(report.COLUMNS), help="engines (default: all)")
    parser.add_argument("--json", type=Path, default=REPO / "build" / "bench.json", help="where the figures go")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md too, unless an engine failed")
    return parser.parse_args()


def install_peers() -> None:
    """What we measure against. Without apt or a mirror the run goes on with what is there."""
    if all(shutil.which(name) for name in ("podman", "containerd", "runc")):
        return
    print(f"bench: installing {' '.join(PEERS)}", flush=True)
    # A service that a package would start has no place here.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PEERS]
    if shutil.which("apt-get") is None or subprocess.run(command, env=quiet, capture_output=True, check=False).returncode != 0:
        print("bench: cannot install them; those that are missing are left out", file=sys.stderr)


def set_up(crew: Crew) -> dict[str, str]:
    versions: dict[str, str] = {}
    for engine in crew.names():
        print(f"bench: setting up {engine}", flush=True)
        versions |= crew.ask(engine, "set_up") or {}
    return versions


def measure(crew: Crew, runs: int, samples: dict[str, dict[str, list[float]]]) -> None:
    """Round 0 warms caches and is thrown away; after it each daemon is measured at rest."""
    for number in range(runs + 1):
        print(f"bench: {f'round {number} of {runs}' if number else 'warm-up'}", flush=True)
        for engine in crew.names():
            for action in ACTIONS:
                value = crew.ask(engine, action, number)
                if number and value is not None:
                    samples[engine][action].append(value)
    for engine in crew.names():
        print(f"bench: memory of {engine}", flush=True)
        measure_memory(crew, engine, runs + 1, samples[engine])
    # Last: a crowd leaves caches and a grown heap behind, in every daemon.
    for engine in crew.names():
        if engine != "polong-command":
            measure_crowd(crew, engine, samples[engine])


def measure_crowd(crew: Crew, engine: str, samples: dict[str, list[float]]) -> None:
    """As many Pods as a node has by default: how fast they come and go, what they hold, what they cost while they do nothing."""
    print(f"bench: {report.CROWD} Pods of {engine}", flush=True)
    idle, started = crew.ask(engine, "memory"), crew.ask(engine, "start_all", report.CROWD)
    busy, cpu = crew.ask(engine, "memory"), crew.ask(engine, "cpu")
    killed = crew.ask(engine, "kill_all", report.CROWD)
    if None not in (idle, started, busy, cpu, killed):
        samples["crowd_start"].append(started / report.CROWD)
        samples["crowd_kill"].append(killed / report.CROWD)
        samples["crowd_pss"].append((busy["all_pss"] - idle["all_pss"]) / report.CROWD)
        samples["crowd_cpu"].append(cpu)


def measure_memory(crew: Crew, engine: str, first: int, samples: dict[str, list[float]]) -> None:
    idle = crew.ask(engine, "memory")
    pods = range(first, first + PODS_FOR_MEMORY)
    for number in pods:
        crew.ask(engine, "start", number)
    busy = crew.ask(engine, "memory")
    for number in pods:
        crew.ask(engine, "remove", number)
    if idle and busy:
        samples["daemon_pss"].append(idle["daemon_pss"])
        samples["daemon_rss"].append(idle["daemon_rss"])
        samples["pod_pss"].append((busy["all_pss"] - idle["all_pss"]) / PODS_FOR_MEMORY)


def write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


def print_report(result: dict[str, Any], samples: report.Samples) -> None:
    print()
    print(report.table(samples))
    print()
    print(f"{result['date']}; medians of {result['runs']} rounds after a warm-up, round-robin; grace {GRACE} s for all, needed by none.")
    print("; ".join(f"{name} {version}" for name, version in sorted(result["versions"].items())))
    print("; ".join(f"{name}: {value}" for name, value in result["machine"].items()))
    for engine, rows in samples.items():
        words = [f"{row} {report.spread(values)}" for row, values in rows.items() if row in ACTIONS and values]
        print(f"{report.COLUMNS[engine]}: {'; '.join(words)}")
    for engine, why in result["failures"].items():
        print(f"bench: {engine} was left out: {why}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
