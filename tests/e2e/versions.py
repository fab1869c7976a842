"""The same work by every version of kubectl, side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.e2e.cluster import VERSIONS, Client, Node, kubectl_program

AT_A_TIME = 4
"""Each kubectl is a process of its own, and fills most of a core."""


def side_by_side(node: Node, work: Callable[[Client, str], None]) -> None:
    """`work(kubectl, name)` for each version that is here; `name` is its own. Fails with all that went wrong."""
    programs = {version: program for version in VERSIONS if (program := kubectl_program(version))}
    if not programs:
        pytest.skip("none of these versions of kubectl is here")
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running = {
            version: pool.submit(work, node.client(program), f"of-{version.replace('.', '-')}") for version, program in programs.items()
        }
        problems = {version: error for version, one in running.items() if (error := one.exception())}
    assert not problems, "\n\n".join(f"kubectl {version}: {error}" for version, error in problems.items())
