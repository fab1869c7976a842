"""A static program that tries on other processes what `polong access` says, and the Pods in which it does so."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SOURCE = Path(__file__).with_name("access_probe.c")
ACTIONS = ("see", "signal", "environ", "root", "cwd", "ptrace")
MOUNT = "/probe"


def build(directory: Path) -> Path:
    """The directory that holds `probe`, readable by all."""
    program = directory / "probe"
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-static", "-o", str(program), str(SOURCE)], check=True, timeout=60)
    for path in (program, directory):
        path.chmod(0o755)
    return directory


def container(name: str, user: int, *, add: tuple[str, ...] = (), drop: tuple[str, ...] = (), hidden: bool = False, **own: Any) -> Json:
    """Sleeps in the probe itself; `hidden`: it says that it is not dumpable."""
    context: Json = {"runAsUser": user, "runAsGroup": user, **own}
    if add or drop:
        context["capabilities"] = {"add": list(add), "drop": list(drop)}
    return {
        "name": name,
        "image": "static-web",
        "command": [f"{MOUNT}/probe", "sleep", *(["hidden"] if hidden else [])],
        "securityContext": context,
        "volumeMounts": [{"name": "probe", "mountPath": MOUNT, "readOnly": True}],
        "env": [{"name": "CANARY", "value": f"of-{name}"}],
    }


def volume(directory: Path) -> Json:
    return {"name": "probe", "hostPath": {"path": str(directory), "type": "Directory"}}


def parse(text: str) -> dict[int, dict[str, bool]]:
    """What `probe try` found, by PID."""
    rows = [[int(word) for word in line.split()] for line in text.splitlines()]
    return {row[0]: dict(zip(ACTIONS, map(bool, row[1:]), strict=True)) for row in rows}
