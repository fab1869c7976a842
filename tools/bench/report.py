"""Figures to words: medians, ratios, the table in Markdown, the facts of the machine. Pure, but for `facts`."""

from __future__ import annotations

import os
import platform
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = {
    "polong": "Polong, API",
    "polong-command": "Polong, command line",
    "podman": "podman, command line",
    "containerd": "containerd, CRI",
}

ROWS = {
    "start": "Pod: create until both containers run",
    "remove": "Pod: delete until nothing is left",
    "kill": "Pod: the same without grace",
    "execute": "exec `true`: request to exit code",
    "daemon_pss": "idle daemon, PSS",
    "daemon_rss": "idle daemon, RSS",
    "pod_pss": "for each Pod beside its own processes, PSS",
    "crowd_start": "{crowd} Pods asked for at once: for each until all run",
    "crowd_kill": "{crowd} Pods removed without grace: for each",
    "crowd_pss": "{crowd} Pods, for each beside its own processes, PSS",
    "crowd_cpu": "{crowd} Pods that do nothing: CPU of the engine",
}

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"

_MEMORY = {"daemon_pss", "daemon_rss", "pod_pss", "crowd_pss"}
CROWD = 110
"""Kubernetes' default limit of Pods on a node."""

# engine -> measure -> samples (seconds, or bytes)
Samples = Mapping[str, Mapping[str, Sequence[float]]]


def medians(samples: Samples) -> dict[str, dict[str, float]]:
    return {engine: {row: statistics.median(values) for row, values in rows.items() if values} for engine, rows in samples.items()}


def table(samples: Samples) -> str:
    """A row for each measure, a column for each engine that has figures, and the others' ratios to Polong's API."""
    middle = medians(samples)
    engines = [engine for engine in COLUMNS if middle.get(engine)]
    others = [engine for engine in engines if not engine.startswith("polong")]
    head = ["", *(COLUMNS[engine] for engine in engines), *(f"{COLUMNS[engine].partition(',')[0]} ÷ Polong" for engine in others)]
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    for row, words in ROWS.items():
        figures = [_figure(row, middle[engine].get(row)) for engine in engines]
        ratios = [ratio(middle[engine].get(row), middle.get("polong", {}).get(row)) for engine in others]
        if any(figure != "–" for figure in figures):
            lines.append(_line([words.format(crowd=CROWD), *figures, *ratios]))
    return "\n".join(lines)


def passage(result: Mapping[str, Any], samples: Samples) -> str:
    """What stands in the README between its two marks: the date, the table, what was measured on what."""
    machine, versions = result["machine"], result["versions"]
    engines = [f"Polong {versions['polong']} with crun {versions['crun']}"]
    engines += [f"{name} {versions[name]} with runc {versions['runc']}" for name in ("podman", "containerd") if name in versions]
    facts = f"{machine['cpu']}, {machine['memory']}, {machine['system']}, kernel {machine['kernel']}, {machine['cgroups']} cgroups"
    return "\n".join(
        [
            f"Medians of {result['runs']} rounds after a warm-up, {result['date']}:",
            "",
            table(samples),
            "",
            textwrap.fill(f"{'; '.join(engines)}. {facts}.", width=140),
        ]
    )


def insert(text: str, between: str) -> str:
    """`text` with `between` in place of what stood between the marks. ValueError where it has none."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the marks {BEGIN} and {END} are missing")
    return f"{head}{BEGIN}\n{between}\n{END}{tail}"


def ratio(theirs: float | None, ours: float | None) -> str:
    return f"{theirs / ours:.1f}" if theirs and ours else "–"


def spread(values: Sequence[float]) -> str:
    """`12 runs, 39 to 61 ms`."""
    return f"{len(values)} runs, {min(values) * 1000:.0f} to {max(values) * 1000:.0f} ms"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _figure(row: str, value: float | None) -> str:
    if value is None:
        return "–"
    if row in _MEMORY:
        return f"{value / 1e6:.1f} MB" if value else "none"
    if row == "crowd_cpu":
        return f"{value:.1%} of a core"
    return f"{value * 1000:.0f} ms"


def facts() -> dict[str, str]:
    """The machine: what a reader needs in order to compare."""
    cpus = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    unified, legacy = Path("/sys/fs/cgroup/cgroup.controllers").exists(), Path("/sys/fs/cgroup/unified").exists()
    return {
        "cpu": f"{os.cpu_count()} x {cpus[0] if cpus else platform.machine()}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": release.get("PRETTY_NAME", "").strip('"'),
        "kernel": platform.release(),
        "cgroups": "v2" if unified else "hybrid" if legacy else "v1",
        "python": platform.python_version(),
    }
