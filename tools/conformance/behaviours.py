"""The list of behaviours: what Kubernetes' tests and sources ask of one node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

FILE = Path(__file__).resolve().parents[2] / "tests" / "conformance" / "behaviours.yaml"


@dataclass(frozen=True)
class Behaviour:
    """`id` is area/name; `reason` says why it cannot be had here, empty where it can."""

    id: str
    label: str
    text: str
    reason: str = ""


def read(path: Path = FILE) -> dict[str, Behaviour]:
    """By id, in the order of the file."""
    found = {}
    for area, entries in yaml.safe_load(path.read_text()).items():
        for name, (label, text, *reason) in entries.items():
            key = f"{area}/{name}"
            found[key] = Behaviour(key, label, text, *reason)
    return found
