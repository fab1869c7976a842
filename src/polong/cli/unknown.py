"""What to say of a command that polong does not have: of kubectl's own verbs, where to find them; of the rest, what is near."""

from __future__ import annotations

import difflib

from polong.cli import registry

# kubectl's verbs (1.33) that are not polong's -> what does the same here; empty where only kubectl does it.
KUBECTL: dict[str, str] = {
    "api-resources": "",
    "api-versions": "",
    "auth": "",
    "certificate": "",
    "cluster-info": "polong status",
    "config": "polong kubeconfig",
    "cordon": "",
    "cp": "polong files cp",
    "diff": "",
    "drain": "",
    "edit": "",
    "explain": "",
    "expose": "",
    "patch": "",
    "proxy": "",
    "replace": "polong apply",
    "run": "polong apply -f",
    "set": "",
    "taint": "",
    "uncordon": "",
}


def words(name: str) -> str:
    """One line: that `name` is no command, and what to use in its place where something is near."""
    if name in KUBECTL:
        here = f"use `{KUBECTL[name]}`, or " if KUBECTL[name] else "use "
        return f"polong has no {name!r} of its own; {here}kubectl (`polong kubeconfig` tells it of the node)"
    near = difflib.get_close_matches(name, registry.names(), n=1)
    return f"unknown command {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
