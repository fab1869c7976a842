"""What every version of kubectl does with Pods that run, beyond tests/e2e/test_kubectl.py: one Pod, every verb once, side by side."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.cluster import Client, Node, busybox, eventually, pod
from tests.e2e.versions import side_by_side

pytestmark = pytest.mark.kubectl

# Seven of them on a busy machine.
patient = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def space(node: Node) -> Iterator[str]:
    name = "at-work"
    node.polong("create", "namespace", name)
    yield name
    node.polong("delete", "namespace", name, timeout=120)


def _in(kubectl: Client, namespace: str) -> Callable[..., str]:
    return lambda *words, stdin="": kubectl("-n", namespace, *words, stdin=stdin, timeout=90)


@patient
def test_every_verb_that_meets_a_running_pod(node: Node, space: str, tmp_path: Path) -> None:
    def work(kubectl: Client, name: str) -> None:
        run = _in(kubectl, space)
        home = tmp_path / name
        home.mkdir()
        script = "trap 'exit 0' TERM; echo began; mkdir -p /data; while sleep 0.2; do :; done"
        run("create", "-f", "-", stdin=json.dumps(pod(name, busybox("main", script), shareProcessNamespace=True)))
        assert run("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s") == f"pod/{name} condition met\n"
        assert run("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{name}", "--timeout=5s") == f"pod/{name} condition met\n"
        # logs, in the ways that ask the server differently
        assert run("logs", name, "--tail=1") == "began\n"
        assert run("logs", name, "--timestamps", "--since=10m").split(" ")[1] == "began\n"
        assert run("logs", name, "--limit-bytes=3") == "beg"
        # files there and back
        (home / "there").write_text("text\n" * 10_000)
        run("cp", str(home / "there"), f"{name}:/data/file", "-c", "main")
        run("cp", f"{name}:/data/file", str(home / "back"))
        assert (home / "back").read_text() == (home / "there").read_text()
        _debug(run, name)
        _changes(kubectl, run, name, home)
        assert run("get", "events", f"--field-selector=involvedObject.name={name},reason=Started", "--no-headers").count("Started") >= 1
        assert run("events", "--for", f"pod/{name}", "--types=Normal").count("Started") >= 1
        eventually(lambda: _usage(kubectl, space, name), "usage is known", 60)
        assert f'pod "{name}" deleted' in run("delete", "pod", name, "--grace-period=1")

    side_by_side(node, work)


def _debug(run: Callable[..., str], name: str) -> None:
    """An ephemeral container, and a copy of the Pod (the latter is sent as protobuf by the newer ones)."""
    run("debug", name, "--image=busybox:1.28", "--image-pull-policy=IfNotPresent", "-c", "look", "--target=main", "--", "sleep", "1000")
    eventually(
        lambda: "look" in run("get", "pod", name, "-o", "jsonpath={.status.ephemeralContainerStatuses[?(@.state.running)].name}"), "it runs"
    )
    assert "trap" in run("exec", name, "-c", "look", "--", "ps", "ax")
    run("debug", name, f"--copy-to={name}-copy", "--set-image=main=busybox:1.28", "--share-processes", "-q")
    assert run("get", "pod", f"{name}-copy", "-o", "jsonpath={.spec.shareProcessNamespace}") == "true"
    assert f'pod "{name}-copy" force deleted' in run("delete", "pod", f"{name}-copy", "--force", "--grace-period=0")


def _changes(kubectl: Client, run: Callable[..., str], name: str, home: Path) -> None:
    editor = home / "editor"
    editor.write_text(f"#!/bin/sh\nsed -i 's/^  name: of-/  labels: {{edited: {name}}}\\n&/' \"$1\"\n")
    editor.chmod(0o755)
    edited = Client(kubectl.program, kubectl.env | {"KUBE_EDITOR": str(editor)})
    namespace = run("get", "pod", name, "-o", "jsonpath={.metadata.namespace}")
    assert edited("-n", namespace, "edit", "pod", name) == f"pod/{name} edited\n"
    assert run("get", "pods", "-l", f"edited={name}", "-o", "name") == f"pod/{name}\n"
    assert run("label", "pod", name, "edited-") == f"pod/{name} unlabeled\n"
    assert run("set", "image", f"pod/{name}", "main=busybox:1.36", "--dry-run=server", "-o", "name") == f"pod/{name}\n"
    assert run("get", "pods", "--sort-by=.metadata.name", "-o", "custom-columns=N:.metadata.name", "--no-headers").count(name) >= 1
    assert run("get", "pod", name, "-o", "go-template={{.spec.nodeName}}")
    assert run("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{name}").startswith('{"')
    ssa = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"applied": "yes"}}}
    assert run("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=json.dumps(ssa)) == f"pod/{name} serverside-applied\n"
    conflict = {**ssa, "metadata": {"name": name, "labels": {"applied": "no"}}}
    refused = kubectl.try_("-n", namespace, "apply", "--server-side", "-f", "-", stdin=json.dumps(conflict))
    assert refused.returncode == 1
    assert 'conflict with "other"' in refused.stderr
    assert run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(conflict)).endswith("serverside-applied\n")


def _usage(kubectl: Client, namespace: str, name: str) -> bool:
    asked = kubectl.try_("-n", namespace, "top", "pod", name, "--containers", "--no-headers")
    return asked.returncode == 0 and [name, "main"] in [line.split()[:2] for line in asked.stdout.splitlines()]


@patient
def test_run_and_remove(node: Node, space: str) -> None:
    def work(kubectl: Client, name: str) -> None:
        flags = ("--image=busybox:1.28", "--image-pull-policy=IfNotPresent", "--restart=Never")
        done = kubectl("-n", space, "run", f"{name}-once", *flags, "--rm", "-i", "-q", "--", "cat", stdin="through\n")
        # Newer ones fetch the log where the Pod was faster than they.
        assert done.startswith("through\n")
        with kubectl.terminal("-n", space, "run", f"{name}-tty", *flags, "--rm", "-it", "--", "sh") as terminal:
            terminal.send("\r")
            terminal.until_prompt()
            assert terminal.command("echo $((6 * 7))").startswith("42\n")
            terminal.line("exit 0")
            assert terminal.wait() == 0
        gone = kubectl.try_("-n", space, "get", "pod", f"{name}-once", f"{name}-tty")
        assert gone.stderr.count("NotFound") == 2

    side_by_side(node, work)


@patient
def test_who_one_is_and_what_one_may(node: Node, space: str) -> None:
    def work(kubectl: Client, name: str) -> None:
        run = _in(kubectl, space)
        assert run("auth", "can-i", "delete", "pods") == "yes\n"
        assert "*.*" in run("auth", "can-i", "--list")
        minor = int(kubectl.program.name.rpartition(".")[2])
        # 1.27 speaks to the beta of whoami alone, which went with 1.31 of the server.
        if minor >= 28:
            assert "system:masters" in run("auth", "whoami")
        run("create", "serviceaccount", name)
        run("create", "rolebinding", name, "--clusterrole=view", f"--serviceaccount={space}:{name}")
        token = run("create", "token", name, "--duration=10m").strip()
        assert token.count(".") == 2
        assert run("auth", "can-i", "list", "pods", f"--as=system:serviceaccount:{space}:{name}") == "yes\n"
        kubeconfig = json.loads(run("config", "view", "--raw", "-o", "json"))
        kubeconfig["users"][0]["user"] = {"token": token}
        path = Path(node.env["HOME"]) / f"kubeconfig-{name}"
        path.write_text(json.dumps(kubeconfig))
        account = Client(kubectl.program, kubectl.env | {"KUBECONFIG": str(path)})
        assert account.try_("-n", space, "get", "pods").returncode == 0
        refused = account.try_("-n", space, "get", "secrets")
        assert refused.returncode == 1
        assert f'secrets is forbidden: User "system:serviceaccount:{space}:{name}" cannot list resource "secrets"' in refused.stderr

    side_by_side(node, work)


@patient
def test_nodes_are_cordoned_tainted_and_drained(node: Node, space: str) -> None:
    """Nodes of which nothing runs: draining the real one would disturb everybody else."""

    def work(kubectl: Client, name: str) -> None:
        run = _in(kubectl, space)
        run("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"of": name}}}))
        try:
            assert run("cordon", name) == f"node/{name} cordoned\n"
            assert "SchedulingDisabled" in run("get", "node", name)
            assert run("uncordon", name) == f"node/{name} uncordoned\n"
            assert run("taint", "node", name, "k=v:NoSchedule") == f"node/{name} tainted\n"
            ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"pods": "9"}}}
            run("patch", "node", name, "--subresource=status", "-p", json.dumps(ready))
            placed = pod(f"{name}-there", busybox("c", "true"), nodeSelector={"of": name}, tolerations=[{"operator": "Exists"}])
            run("create", "-f", "-", stdin=json.dumps(placed))
            assert run("get", "pod", f"{name}-there", "-o", "jsonpath={.spec.nodeName}") == name
            drained = run("drain", name, "--force", "--grace-period=0", "--timeout=60s")
            assert f"{name}-there" in drained
            assert drained.endswith(f"node/{name} drained\n")
            assert kubectl.try_("-n", space, "get", "pod", f"{name}-there").returncode == 1
        finally:
            run("delete", "node", name)

    side_by_side(node, work)


@patient
def test_a_watch_of_a_table_and_of_names(node: Node, space: str) -> None:
    def work(kubectl: Client, name: str) -> None:
        run = _in(kubectl, space)
        command = [str(kubectl.program), "-n", space, "get", "configmaps", "-w", "-o", "wide", "-l", f"of={name}", "--output-watch-events"]
        with subprocess.Popen(command, env=kubectl.env, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            try:
                time.sleep(1)
                given = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"of": name}}, "data": {"a": "1"}}
                run("create", "-f", "-", stdin=json.dumps(given))
                run("patch", "configmap", name, "-p", '{"data": {"b": "2"}}')
                run("delete", "configmap", name)
                lines = [watching.stdout.readline().split()[:3] for _ in range(4)]
            finally:
                watching.kill()
        assert lines == [["EVENT", "NAME", "DATA"], ["ADDED", name, "1"], ["MODIFIED", name, "2"], ["DELETED", name, "2"]]

    side_by_side(node, work)
