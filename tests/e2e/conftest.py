"""One node for the whole session; every test names its Pods itself and removes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cluster import PATIENCE, ROOT, VERSIONS, Client, Node, any_kubectl, kubectl_program

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.root)
            item.add_marker(pytest.mark.timeout(180 * PATIENCE))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Running, with nginx, busybox:1.28 and the shell-less image imported."""
    if os.getuid() != 0:
        pytest.skip("needs root: containers are started for real")
    subprocess.run([sys.executable, "-m", "tools.images", "--quiet"], cwd=ROOT, check=True, timeout=120)
    base = tmp_path_factory.mktemp("node")
    (base / "home").mkdir()
    node = Node(base / "root", base / "home")
    try:
        node.up()
        node.import_images()
        yield node
    finally:
        node.down()


@pytest.fixture(scope="session")
def polong(node: Node) -> Client:
    return node.polong


@pytest.fixture(scope="session")
def kubectl(node: Node) -> Client:
    """The newest kubectl that is here."""
    program = any_kubectl()
    if program is None:
        pytest.skip("kubectl is not installed")
    return node.client(program)


@pytest.fixture(scope="session", params=["polong", "kubectl"])
def client(request: pytest.FixtureRequest, node: Node) -> Client:
    """Both command lines in turn: `alias kubectl=polong` must make no difference."""
    found: Client = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session", params=VERSIONS)
def each_kubectl(request: pytest.FixtureRequest, node: Node) -> Client:
    """Every kubectl version that is here."""
    program = kubectl_program(request.param)
    if program is None:
        pytest.skip(f"no kubectl.{request.param} beside kubectl")
    return node.client(program)
