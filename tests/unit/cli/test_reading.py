"""`describe`, `logs`, `wait`, `events`, `ps`, `port-forward` over a real API server."""

import json
import socket
import subprocess
import sys
import threading

from .conftest import Api, Run

RUNNING = {
    "phase": "Running",
    "podIP": "10.0.0.9",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [
        {
            "name": "nginx",
            "image": "nginx:1",
            "imageID": "sha256:0",
            "containerID": "polong://1",
            "ready": True,
            "restartCount": 1,
            "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-02T03:04:04Z"}},
        }
    ],
}


def event(api: Api, name: str, reason: str, message: str, kind: str = "Normal") -> None:
    about = {
        "kind": "Pod",
        "name": name,
        "namespace": "default",
        "uid": api.request("GET", f"/api/v1/namespaces/default/pods/{name}")["metadata"]["uid"],
    }
    times = {"firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z", "count": 1}
    body = {
        "metadata": {"generateName": "e-", "namespace": "default"},
        "involvedObject": about,
        "type": kind,
        "reason": reason,
        "message": message,
    }
    api.request("POST", "/api/v1/namespaces/default/events", {**body, **times, "source": {"component": "kubelet"}})


def test_describe_has_kubectls_sections(api: Api, polong: Run) -> None:
    api.pod(shareProcessNamespace=True)
    api.status("nginx", **RUNNING)
    event(api, "nginx", "Started", "Started container \x1b[2J")
    out = polong("describe", "pod", "nginx").out
    titles = [line.split(":")[0] for line in out.splitlines() if line and not line.startswith(" ") and ":" in line]
    assert titles[:5] == ["Name", "Namespace", "Priority", "Service Account", "Node"]
    for section in ("IPs", "Containers", "Conditions", "Volumes", "QoS Class", "Tolerations", "Events"):
        assert section in titles
    assert "Process Namespace:  shared by all containers, PID 1 is /pause" in out
    assert "Reason:       OOMKilled" in out
    assert "Started container \\x1b[2J" in out


def test_describe_by_prefix_and_of_other_kinds(api: Api, polong: Run) -> None:
    api.pod("web-1")
    assert polong("describe", "pod", "web").out.startswith("Name:")
    assert polong("describe", "ns", "default").out.startswith("Name:         default\n")
    assert polong("describe", "pod", "nope").code == 1


def test_logs(api: Api, polong: Run) -> None:
    api.pod()
    assert polong("logs", "nginx", "-c", "shell", "--tail=2").out == "shell line 19\nshell line 20\n"
    assert polong("logs", "nginx", "--all-containers", "--prefix", "--tail=1").out == (
        "[pod/nginx/nginx] nginx line 20\n[pod/nginx/shell] shell line 20\n"
    )
    assert polong("logs", "nginx", "shell", "--tail", "-1").out.count("\n") == 20
    assert "container nope not found in pod nginx; it has: nginx, shell" in polong("logs", "nginx", "-c", "nope").err


def test_logs_by_label_show_the_last_ten(api: Api, polong: Run) -> None:
    api.pod("nginx", "one")
    polong("label", "pod", "nginx", "a=b")
    assert polong("logs", "-l", "a=b").out.count("\n") == 10


def test_a_near_name_is_offered(api: Api, polong: Run) -> None:
    api.pod("nginx")
    assert "did you mean 'nginx'?" in polong("logs", "nginxx").err


def test_wait_for_conditions_values_and_nothing(api: Api, polong: Run) -> None:
    api.pod()
    late = threading.Timer(0.3, api.status, ["nginx"], RUNNING)
    late.start()
    assert polong("wait", "pod/nginx", "--for=condition=Ready", "--timeout=5s").out == "pod/nginx condition met\n"
    late.join()
    assert polong("wait", "pod/nginx", "--for=jsonpath={.status.phase}=Running").out == "pod/nginx condition met\n"
    result = polong("wait", "pod/nginx", "--for=condition=Ready=false", "--timeout=200ms")
    assert (result.code, result.err) == (1, "error: timed out waiting for the condition on pods/nginx\n")
    assert polong("wait", "pod/gone", "--for=delete").code == 0
    assert "unrecognized condition" in polong("wait", "pod/nginx", "--for=tea").err
    assert polong("wait", "pods", "--all", "-n", "kube-system", "--for=condition=Ready").err == "error: no matching resources found\n"


def test_events_of_one_object(api: Api, polong: Run) -> None:
    api.pod("a")
    api.pod("b")
    event(api, "a", "Pulled", "one")
    event(api, "b", "Failed", "two", "Warning")
    lines = polong("events", "--for", "pod/a").out.splitlines()
    assert lines[0].split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert lines[1].split()[1:] == ["Normal", "Pulled", "Pod/a", "one"]
    assert "two" in polong("events", "--types=Warning").out


def test_ps(api: Api, polong: Run) -> None:
    api.pod()
    api.node.processes_of = [{"container": "shell", "pid": 9, "hostPID": 99, "user": "root", "command": ["sh"], "pidNamespace": 1}]
    assert polong("ps", "nginx").out.splitlines()[1].split() == ["shell", "9", "99", "root", "sh"]
    assert json.loads(polong("ps", "nginx", "-o", "json").out)["items"][0]["hostPID"] == 99
    assert polong("ps", "nginx", "-c", "nginx", "--no-headers").out.strip() == ""
    assert "not found in pod" in polong("ps", "nginx", "-c", "nope").err


def test_port_forward_carries_bytes_both_ways(api: Api) -> None:
    api.pod()
    api.status("nginx", phase="Running")
    child = subprocess.Popen(
        [sys.executable, "-m", "polong", "port-forward", "nginx", ":80", "--address=127.0.0.1"], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        assert line.startswith("Forwarding from 127.0.0.1:")
        port = int(line.split("127.0.0.1:")[1].split()[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"hello")
            assert connection.makefile("rb").read() == b"port 80: hello"
    finally:
        child.kill()
        child.communicate()


def test_no_server_is_one_line(api: Api, polong: Run) -> None:
    result = polong("get", "pods", "--server", "https://127.0.0.1:1")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "127.0.0.1:1" in result.err


def test_every_command_has_help_with_examples(polong: Run) -> None:
    from polong.cli import registry

    for name in registry.names():
        out = polong(name, "--help").out
        assert name == "images" or out.count(f"  polong {name}") >= 2 or out.count("polong completion") >= 2, name


def test_mistyped_commands(polong: Run) -> None:
    result = polong("gett", "pods")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: unknown command 'gett'; did you mean 'get'?")
