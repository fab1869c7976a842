"""Every kubectl from 1.27 to 1.33 does its daily work: what a user types, not what the API answers.

exec and attach go over SPDY/3.1 up to 1.29 and over WebSocket from 1.30 on (and over SPDY again where a variable says so).
"""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from tests.e2e.cluster import Client, busybox, eventually, nginx, pod

pytestmark = pytest.mark.kubectl


@pytest.fixture(scope="module")
def web(each_kubectl: Client) -> Iterator[str]:
    """A shared Pod: nginx, and a busybox with a terminal that counts in its log."""
    name = f"web-{each_kubectl.program.name.replace('kubectl.', '').replace('.', '-')}"
    counter = busybox("counter", "i=0; while sleep 0.2; do i=$((i+1)); echo line $i; done")
    shell = {"name": "shell", "image": "busybox:1.28", "stdin": True, "tty": True}
    try:
        assert each_kubectl.apply(pod(name, nginx(), counter, shell, shareProcessNamespace=True)) == f"pod/{name} created\n"
        each_kubectl.ready(name)
        yield name
    finally:
        each_kubectl.delete(name)


def test_apply_again_changes_nothing_and_a_label_is_a_change(each_kubectl: Client, web: str) -> None:
    manifest = each_kubectl("get", "pod", web, "-o", "yaml")
    labelled = each_kubectl("label", "pod", web, "tier=front")
    assert labelled == f"pod/{web} labeled\n"
    assert each_kubectl("get", "pods", "-l", "tier=front", "-o", "name") == f"pod/{web}\n"
    assert "tier: front" not in manifest


def test_get_prints_the_table(each_kubectl: Client, web: str) -> None:
    head, *rows = each_kubectl("get", "pods").splitlines()
    assert head.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    (row,) = [row.split() for row in rows if row.startswith(f"{web} ")]
    assert row[1:4] == ["3/3", "Running", "0"]
    assert {"IP", "NODE"} <= set(each_kubectl("get", "pods", "-o", "wide").splitlines()[0].split())


@pytest.mark.behaviour("kubectl/describe")
def test_describe_tells_its_story(each_kubectl: Client, web: str) -> None:
    text = each_kubectl("describe", "pod", web)
    for word in ("Status:", "Running", "Container ID:", "busybox:1.28", "Ready", "Started", "Created container"):
        assert word in text


def test_events_tell_what_happened(each_kubectl: Client, web: str) -> None:
    reasons = each_kubectl("get", "events", f"--field-selector=involvedObject.name={web}", "-o", "jsonpath={.items[*].reason}").split()
    assert {"Created", "Started"} <= set(reasons)
    assert "Started" in each_kubectl("events", "--for", f"pod/{web}")


def test_logs_follow(each_kubectl: Client, web: str) -> None:
    command = [str(each_kubectl.program), "logs", "-f", web, "-c", "counter"]
    with subprocess.Popen(command, env=each_kubectl.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(8)]
        finally:
            process.kill()
    assert lines == [f"line {number}\n" for number in range(1, 9)]


def test_exec_in_a_terminal(each_kubectl: Client, web: str) -> None:
    with each_kubectl.terminal("exec", "-it", web, "-c", "shell", "--", "sh", size=(97, 31)) as terminal:
        terminal.until_prompt()
        eventually(lambda: terminal.command("stty size").startswith("31 97\n"), "the terminal's size", 10)
        terminal.resize(66, 22)
        eventually(lambda: terminal.command("stty size").startswith("22 66\n"), "the new size", 10)
        terminal.line("exit 7")
        assert terminal.wait() == 7


def test_exec_passes_stdin_both_outputs_and_the_exit_code(each_kubectl: Client, web: str) -> None:
    done = each_kubectl.try_("exec", "-i", web, "-c", "shell", "--", "sh", "-c", "cat; echo no >&2; exit 42", stdin="one\ntwo\n")
    assert (done.stdout, done.returncode) == ("one\ntwo\n", 42)
    assert done.stderr.startswith("no\n")


def test_exec_carries_a_large_stream_whole(each_kubectl: Client, web: str) -> None:
    text = "".join(f"{number:09d}\n" for number in range(200_000))
    assert each_kubectl("exec", "-i", web, "-c", "shell", "--", "cat", stdin=text) == text


def test_attach_in_a_terminal(each_kubectl: Client, web: str) -> None:
    with each_kubectl.terminal("attach", "-it", web, "-c", "shell") as terminal:
        terminal.send("\r")
        terminal.until_prompt()
        assert terminal.command("echo $((6 * 7))").startswith("42\n")
        assert "nginx: master process" in terminal.command("ps ax")
    # The client has left; the shell has not.
    assert each_kubectl.json("get", "pod", web)["status"]["containerStatuses"][0]["restartCount"] == 0


def test_port_forward(each_kubectl: Client, web: str) -> None:
    command = [str(each_kubectl.program), "port-forward", web, ":80"]
    with subprocess.Popen(command, env=each_kubectl.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline().split(" -> ")[0].rpartition(":")[2])
            for _ in range(3):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/")
                answer = connection.getresponse()
                assert answer.status == 200
                assert b"nginx" in answer.read()
                connection.close()
        finally:
            process.kill()


def test_a_watch_shows_the_end(each_kubectl: Client) -> None:
    name = f"brief-{each_kubectl.program.name[-2:]}"
    command = [str(each_kubectl.program), "get", "pods", name, "-w", "-o", "jsonpath={.status.phase}{'\\n'}"]
    each_kubectl.apply(pod(name, busybox("once", "sleep 1"), restartPolicy="Never"))
    try:
        with subprocess.Popen(command, env=each_kubectl.env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                while (line := process.stdout.readline().strip()) != "Succeeded":
                    assert line in {"Pending", "Running"}
            finally:
                process.kill()
    finally:
        each_kubectl.delete(name)


def test_delete_waits_until_it_is_gone(each_kubectl: Client) -> None:
    name = f"gone-{each_kubectl.program.name[-2:]}"
    each_kubectl.apply(pod(name, busybox("one", "sleep 1000"), shareProcessNamespace=True))
    each_kubectl.ready(name)
    assert f'pod "{name}" deleted' in each_kubectl("delete", "pod", name)
    missing = each_kubectl.try_("get", "pod", name)
    assert missing.returncode == 1
    assert missing.stderr == f'Error from server (NotFound): pods "{name}" not found\n'


def test_a_wrong_manifest_is_refused_before_anything_is_made(each_kubectl: Client) -> None:
    wrong = pod("wrong", busybox("one", "true"))
    wrong["spec"]["shareProcesNamespace"] = True
    refused = each_kubectl.try_("apply", "-f", "-", stdin=yaml.safe_dump(wrong))
    assert refused.returncode == 1
    assert 'unknown field "spec.shareProcesNamespace"' in refused.stderr
    assert each_kubectl.try_("get", "pod", "wrong").returncode == 1


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_exec_over_either_wire(kubectl: Client, websockets: str) -> None:
    wire = Client(kubectl.program, kubectl.env | {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets})
    wire.apply(pod("wire", busybox("one", "sleep 1000")))
    try:
        wire.ready("wire")
        done = wire.try_("exec", "-i", "wire", "--", "sh", "-c", "wc -c; exit 5", stdin="x" * 100_000)
        assert (done.stdout.strip(), done.returncode) == ("100000", 5)
    finally:
        wire.delete("wire")
