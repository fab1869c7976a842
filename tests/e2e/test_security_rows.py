"""Rows 81 to 88 of docs/security.md that need containers, a terminal or a node's own log."""

from __future__ import annotations

import json
import os
import pty
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cluster import Client, Node, busybox, eventually, pod

Json = dict[str, Any]

# What a terminal would obey: colours, a clipboard (OSC 52), the 8-bit CSI, a carriage return, and letters that run backwards.
EVIL = "\x1b[31m\x1b]52;c;ZXZpbA==\x07\x9b2J\rx\u202egpj"
SHOWS = (("ps", "evil"), ("get", "events"), ("files", "evil"))
"""What must show it, made harmless."""
OBEYED = ("\x1b[31m", "\x1b]52", "\x9b", "\u202e", "\x07")


def test_81_a_restarted_container_is_the_same_user(kubectl: Client) -> None:
    script = "id -u >> /seen/ids; [ $(wc -l < /seen/ids) -lt 3 ] && exit 1; sleep 1000"
    mounts = [{"name": "seen", "mountPath": "/seen"}]
    context = {"runAsUser": 1234, "runAsNonRoot": True, "allowPrivilegeEscalation": False}
    container = busybox("main", script, volumeMounts=mounts, securityContext=context)
    kubectl.apply(pod("same", container, volumes=[{"name": "seen", "emptyDir": {}}], securityContext={"fsGroup": 1234}))
    try:
        eventually(lambda: _restarts(kubectl, "same") == 2 and _ready(kubectl, "same"), "it ran three times", 90)
        assert kubectl("exec", "same", "--", "cat", "/seen/ids") == "1234\n" * 3
        status = kubectl("exec", "same", "--", "grep", "-E", "^(NoNewPrivs|Seccomp):", "/proc/1/status")
        assert status.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    finally:
        kubectl.delete("same")


def _restarts(kubectl: Client, name: str) -> int:
    statuses = kubectl.json("get", "pod", name)["status"].get("containerStatuses") or [{}]
    return int(statuses[0].get("restartCount", 0))


def _ready(kubectl: Client, name: str) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in kubectl.json("get", "pod", name)["status"]["conditions"])


def test_83_secrets_are_in_no_log_no_event_and_no_command_line(node: Node, kubectl: Client) -> None:
    """Each way in has a secret of its own; every file of the node but its database, its Secret volumes and the containers' own is read."""
    words = {way: f"geheim{way}geheim" for way in ("secret", "registry", "environment", "exec", "token", "config")}
    pull = {"auths": {"127.0.0.1:1": {"username": "u", "password": words["registry"]}}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"password": words["secret"]}}
    registry = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "registry"},
        "stringData": {".dockerconfigjson": json.dumps(pull)},
    }
    env = [
        {"name": "A", "value": words["environment"]},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "password"}}},
    ]
    container = busybox("main", "sleep 1000", env=env)
    failing = {"name": "other", "image": "127.0.0.1:1/none/such:1", "imagePullPolicy": "Always"}
    kubectl.apply(secret, registry, pod("secrets", container, failing, imagePullSecrets=[{"name": "registry"}]))
    try:
        eventually(lambda: "running" in json.dumps(kubectl.json("get", "pod", "secrets")["status"]), "the first runs", 60)
        kubectl("exec", "secrets", "-c", "main", "--", "sh", "-c", f": {words['exec']}")
        kubectl.try_("get", "pods", "--token", words["token"], "--client-certificate=", "--client-key=")
        # What cannot be read says what is wrong with it, not what it says.
        for broken in (
            {**secret, "stringData": {"password": [words["config"]]}},
            {**secret, "data": {"password": words["config"]}},
            {**registry, "metadata": {"name": "odd"}, "stringData": {".dockerconfigjson": words["config"]}},
        ):
            kubectl.try_("apply", "-f", "-", stdin=json.dumps(broken))
        eventually(lambda: "Failed" in kubectl("get", "events", "--field-selector=involvedObject.name=secrets"), "the pull failed", 60)
        told = kubectl("get", "events", "-A", "-o", "json") + kubectl("describe", "pod", "secrets").replace(words["environment"], "")
        told += node.polong("ps", "secrets") + node.polong("describe", "pod", "secrets").replace(words["environment"], "")
        told += "".join(_command_lines(node))
        for path in (node.root / "logs").rglob("*"):
            if path.is_file():
                told += path.read_text(errors="replace")
        for way, word in words.items():
            assert word not in told, way
    finally:
        kubectl.delete("secrets")
        kubectl("delete", "secret", "hidden", "registry", "--ignore-not-found")


def _command_lines(node: Node) -> list[str]:
    """Of every process of this node but those inside of containers: the daemon, conmon and whatever they started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(node.root) in line:
            found.append(line)
    assert found
    return found


def _listeners(pid: int) -> set[tuple[str, int]]:
    """(address in hexadecimal, port) of the TCP sockets on which a process listens."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(fd.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found.add((address, int(port, 16)))
    return found


def test_84_every_listener_asks_who_it_is(node: Node) -> None:
    pid = int(json.loads(node.polong("status", "-o", "json"))["pid"])
    listeners = _listeners(pid)
    assert listeners
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for address, port in listeners:
        assert set(address) != {"0"}, "it listens on every address"
        host = ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
        for path in ("/metrics", "/api/v1/pods", "/debug/pprof/", "/logs/", "/stats/summary", "/run/x/y/z", "/containerLogs/x/y/z"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"https://{host}:{port}{path}", context=context, timeout=10)
            assert refused.value.code == 401
            refused.value.close()
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"http://{host}:{port}/version", timeout=10)


@pytest.fixture(scope="module")
def evil(node: Node) -> Any:
    """A Pod of which everything that it may name itself is evil."""
    script = (
        'mkdir /evil; touch "/evil/$E"; printf "#!/bin/sh\\nsleep 1000\\n" > "/tmp/$E"; chmod +x "/tmp/$E"; "/tmp/$E" "$E" &'
        ' printf %s "$E" > /dev/termination-log; sleep 1000; :'
    )
    body = pod("evil", busybox("main", script, env=[{"name": "E", "value": EVIL}]))
    body["metadata"]["annotations"] = {"evil": EVIL}
    node.polong.apply(body)
    try:
        node.polong.ready("evil")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "evil", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "evil", "namespace": "default"},
            "reason": "Evil",
            "message": EVIL,
            "type": "Normal",
        }
        node.polong.apply(event)
        yield "evil"
    finally:
        node.polong.delete("evil")


@pytest.mark.parametrize(
    "words",
    [
        ("ps", "evil"),
        ("ps", "evil", "-o", "wide"),
        ("tree", "evil"),
        ("describe", "pod", "evil"),
        ("get", "events"),
        ("events",),
        ("get", "pod", "evil", "-o", "wide"),
        ("get", "pod", "evil", "-o", "custom-columns=A:.metadata.annotations.evil"),
        ("files", "evil", "ls", "/evil"),
        ("access", "evil"),
        ("exec", "evil", "--", "no\x1b[31mne"),
        ("get", "pod", "no\x1b]52;c;x\x07"),
    ],
    ids=" ".join,
)
def test_87_nothing_that_is_shown_drives_the_terminal(node: Node, evil: str, words: tuple[str, ...]) -> None:
    shown = _on_a_terminal(node.polong, *words)
    assert ("x1b" if words[:2] in SHOWS else "") in shown, repr(shown)
    for sequence in OBEYED:
        # Our own colours are ours; those of a Pod are not.
        assert sequence not in shown, repr(shown)


def _on_a_terminal(client: Client, *words: str) -> str:
    """Every byte that a terminal would get."""
    master, slave = pty.openpty()
    shown = bytearray()
    with subprocess.Popen([str(client.program), *words], env=client.env, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        try:
            while piece := os.read(master, 65536):
                shown += piece
        except OSError:  # EIO: nobody has it open any more
            pass
        finally:
            os.close(master)
        process.wait(20)
    return shown.decode(errors="surrogateescape")
