"""Many Pods: Kubernetes' limit of 110 at once, more by configuration, and a thousand one after the other, with nothing left behind."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.census import census
from tests.conformance.cluster import Cluster, Refused, condition
from tests.e2e.cluster import Node, busybox, eventually, pod

Json = dict[str, Any]

CONFIG = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 250\n"


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    base = tmp_path_factory.mktemp("scale")
    (base / "home").mkdir()
    (base / "kubelet.yaml").write_text(CONFIG)
    node = Node(base / "root", base / "home")
    try:
        node.polong("up", "--port", "0", "--config", str(base / "kubelet.yaml"), timeout=90)
        node.import_images()
        yield node
    finally:
        node.down()


@pytest.fixture
def api(crowd: Node) -> Iterator[Cluster]:
    cluster = Cluster(crowd.root / "kubeconfig", "default")
    yield cluster
    cluster.close()


def _pid(node: Node) -> int:
    return int((node.root / "lock").read_text().split()[0])


def _shared(name: str) -> Json:
    return pod(name, busybox("a", "exec sleep 100000"), busybox("b", "exec sleep 100000"), shareProcessNamespace=True)


def _ready(cluster: Cluster) -> int:
    return sum(condition(each, "Ready") == "True" for each in cluster.list("pods"))


@pytest.mark.slow
def test_250_pods_at_once_and_all_gone_again(crowd: Node, api: Cluster) -> None:
    api.run(_shared("warm"))
    api.delete("pods", "warm", grace=0)
    api.gone("pods", "warm")
    root, pid = crowd.root, _pid(crowd)
    before = census(root, pid)
    names = [f"crowd-{number}" for number in range(250)]
    with ThreadPoolExecutor(8) as crew:
        list(crew.map(lambda name: api.create("pods", _shared(name)), names))
    eventually(lambda: _ready(api) == 250, "250 ready Pods", timeout=300)
    assert api.sh("crowd-249", "a", "ps -o args").count("sleep 100000") == 2
    idle = _cpu(pid)
    time.sleep(20)
    assert _cpu(pid) - idle < 20 * 0.1, "idle, a node with 250 Pods takes less than a tenth of a core"
    api.request("DELETE", api.path("pods"), gracePeriodSeconds=0)
    eventually(lambda: not api.list("pods"), "no Pod", timeout=300)
    _as_before(root, pid, before)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "most"), [("httpGet", 0.25), ("tcpSocket", 0.2), ("exec", 0.5)])
def test_what_220_probes_cost(crowd: Node, api: Cluster, record_property: Callable[[str, object], None], kind: str, most: float) -> None:
    """Two probes for each of 110 Pods: seconds of CPU of the daemon for each second. Every ten seconds, Kubernetes' default; commands once
    a minute, since each is two processes beside the daemon's own share: 22 a second are more than two cores have to give."""
    ask = {"httpGet": {"path": "/", "port": 8080}, "tcpSocket": {"port": 8080}, "exec": {"command": ["true"]}}[kind]
    probe = {kind: ask, "timeoutSeconds": 5, "periodSeconds": 60 if kind == "exec" else 10}
    probes = {"livenessProbe": probe, "readinessProbe": probe}
    server = busybox("web", "exec sleep 100000") if kind == "exec" else {"name": "web", "image": "static-web"}
    names = [f"probed-{number}" for number in range(110)]
    with ThreadPoolExecutor(8) as crew:
        list(crew.map(lambda name: api.create("pods", pod(name, {**server, **probes})), names))
    eventually(lambda: _ready(api) == 110, "110 ready Pods", timeout=300)
    pid, seconds = _pid(crowd), 30
    before = _cpu(pid)
    time.sleep(seconds)
    cost = (_cpu(pid) - before) / seconds
    record_property(f"cpu_of_220_{kind}_probes", round(cost, 3))
    print(f"220 {kind} probes every {probe['periodSeconds']} s: {cost:.1%} of a core")
    assert _ready(api) == 110
    assert all(each["status"]["containerStatuses"][0]["restartCount"] == 0 for each in api.list("pods"))
    api.request("DELETE", api.path("pods"), gracePeriodSeconds=0)
    eventually(lambda: not api.list("pods"), "no Pod", timeout=300)
    assert cost < most


@pytest.mark.slow
def test_a_thousand_pods_leave_nothing_behind(crowd: Node, api: Cluster) -> None:
    """Of several shapes: that end by themselves, that are killed, that fail, that never start."""
    root, pid = crowd.root, _pid(crowd)
    number = itertools.count()

    def life(_: int) -> None:
        name = f"churn-{next(number)}"
        shape = int(name.rpartition("-")[2]) % 5
        made = (
            pod(name, busybox("app", "exit 0"), restartPolicy="Never"),
            pod(name, busybox("app", "exit 3"), restartPolicy="Never", shareProcessNamespace=True),
            _shared(name),
            pod(name, busybox("app", "sleep 1000"), volumes=[{"name": "data", "emptyDir": {"medium": "Memory"}}]),
            pod(name, {**busybox("app", "true"), "image": "missing:1", "imagePullPolicy": "Never"}),
        )[shape]
        api.create("pods", made)
        wanted = {0: "Succeeded", 1: "Failed"}.get(shape)
        if wanted:
            api.phase(name, wanted, timeout=120)
        elif shape in (2, 3):
            api.ready(name, timeout=120)
        try:
            api.delete("pods", name, grace=0 if shape % 2 else 1)
        except Refused as error:
            if error.code != 404:
                raise
        api.gone("pods", name, timeout=120)

    list(map(life, range(5)))
    before = census(root, pid)
    with ThreadPoolExecutor(6) as crew:
        list(crew.map(life, range(1000)))
    _as_before(root, pid, before)
    assert "Traceback" not in crowd.log()


def _as_before(root: Path, pid: int, before: Mapping[str, int]) -> None:
    def more() -> dict[str, tuple[int, int]]:
        return {kind: (before[kind], count) for kind, count in census(root, pid).items() if count > before[kind]}

    deadline = time.monotonic() + 60
    while left := more():
        assert time.monotonic() < deadline, f"left behind (before, after): {left}"
        time.sleep(0.5)


def _cpu(pid: int) -> float:
    """Seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100
