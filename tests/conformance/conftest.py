"""One node for all conformance tests; a fresh namespace for each test module, which takes its Pods along when it goes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.e2e.cluster import PATIENCE, ROOT, Node

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.root)
            item.add_marker(pytest.mark.timeout((600 if item.get_closest_marker("slow") else 180) * PATIENCE))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Running, with nginx, busybox:1.28 and the shell-less image imported."""
    if os.getuid() != 0:
        pytest.skip("needs root: containers are started for real")
    subprocess.run([sys.executable, "-m", "tools.images", "--quiet"], cwd=ROOT, check=True, timeout=300)
    base = tmp_path_factory.mktemp("conformance")
    (base / "home").mkdir()
    node = Node(base / "root", base / "home")
    try:
        node.up()
        node.import_images()
        yield node
    finally:
        node.down()


@pytest.fixture(scope="module")
def cluster(node: Node, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A namespace of its own, named after the module."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    cluster = Cluster(node.root / "kubeconfig", f"c-{name}")
    cluster.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}, namespaced=False)
    try:
        yield cluster
        for pod in cluster.list("pods"):
            try:
                cluster.delete("pods", pod["metadata"]["name"], grace=1)
            except Refused as error:
                if error.code != 404:
                    raise
        cluster.delete("namespaces", cluster.namespace, namespaced=False)
        cluster.gone("namespaces", cluster.namespace, timeout=120, namespaced=False)
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def udp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a static program of that name, for hostPath volumes: see udp.c."""
    directory = tmp_path_factory.mktemp("udp")
    directory.chmod(0o755)
    program = directory / "udp"
    subprocess.run(["gcc", "-static", "-O2", "-o", str(program), str(HERE / "udp.c")], check=True, timeout=60)
    return program
