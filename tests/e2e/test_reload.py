"""Reload on change: real nginx, real ConfigMaps, shared and isolated Pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.cluster import Client, busybox, eventually, nginx, pod

Json = dict[str, Any]

ANNOTATION = "polong.dev/reload"
SOON = 20.0


def site(text: str) -> Json:
    conf = f"server {{ listen 8080; location / {{ return 200 '{text}\\n'; }} }}\n"
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "site"}, "data": {"default.conf": conf}}


def counter(trap: str = "USR1") -> str:
    """Says each signal that it got; `sleep` in the background, so that a trap is run at once."""
    return f"trap 'echo got {trap}' {trap}; while true; do sleep 0.1 & wait $!; done"


def annotated(made: Json, text: str) -> Json:
    made["metadata"]["annotations"] = {ANNOTATION: text}
    return made


def processes(client: Client, name: str) -> dict[str, int]:
    found = client.json("ps", name)
    items = found["items"][0]["items"] if found.get("kind") == "List" else found["items"]
    return {
        f"{'master' if 'master' in ' '.join(each['command']) else 'worker'}": each["hostPID"] for each in items if each["name"] == "nginx"
    }


def events(client: Client, name: str, reason: str) -> list[Json]:
    items: list[Json] = client.json("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")["items"]
    return items


@pytest.fixture
def pods(polong: Client) -> Iterator[list[str]]:
    """Names to delete at the end."""
    names: list[str] = []
    yield names
    for name in names:
        polong.delete(name)
    polong("delete", "configmap", "site", "counted", "other", "--ignore-not-found")
    polong("delete", "secret", "counted", "--ignore-not-found")


@pytest.mark.parametrize("shared", [True, False])
def test_nginx_reads_its_new_configuration(polong: Client, pods: list[str], shared: bool) -> None:
    name = f"reload-{'shared' if shared else 'isolated'}"
    pods.append(name)
    polong.apply(site("one"))
    volume = (
        {"name": "site", "projected": {"sources": [{"configMap": {"name": "site"}}]}}
        if shared
        else {
            "name": "site",
            "configMap": {"name": "site"},
        }
    )
    shell = busybox("shell", "exec sleep 1000")
    server = nginx(volumeMounts=[{"name": "site", "mountPath": "/etc/nginx/conf.d"}])
    polong.apply(annotated(pod(name, server, shell, volumes=[volume], shareProcessNamespace=shared), "site=nginx:HUP"))
    polong.ready(name)
    ask = ("exec", name, "-c", "shell", "--", "wget", "-qO-", "http://127.0.0.1:8080/")
    eventually(lambda: polong.try_(*ask).stdout == "one\n", "the first configuration is served", SOON)
    before = processes(polong, name)
    assert events(polong, name, "Reloaded") == []
    polong.apply(site("two"))
    eventually(lambda: polong.try_(*ask).stdout == "two\n", "the second configuration is served", SOON)
    eventually(
        lambda: set(processes(polong, name)) == {"master", "worker"} and processes(polong, name)["worker"] != before["worker"],
        "new worker",
        SOON,
    )
    assert processes(polong, name)["master"] == before["master"]
    (event,) = eventually(lambda: events(polong, name, "Reloaded"), "an Event tells", SOON)
    assert event["type"] == "Normal"
    assert event["message"].startswith("Sent SIGHUP to PID ")
    assert event["message"].endswith("(nginx): ConfigMap site changed")
    assert event["involvedObject"]["fieldPath"] == "spec.containers{nginx}"
    status = polong.json("get", "pod", name)["status"]["containerStatuses"]
    assert [each["restartCount"] for each in status] == [0, 0]


def test_changes_close_together_are_one_signal_and_others_none(polong: Client, pods: list[str]) -> None:
    """Two objects in three volumes change at once: one signal. An object that no rule names, and a change of what the
    volume does not show: none. A pattern names one process of a container."""
    pods.append("counted")
    counted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "counted"}, "data": {"a": "1", "hidden": "1"}}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}, "data": {"a": "1"}}
    hidden = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "counted"}, "stringData": {"a": "1"}}
    polong.apply(counted, other, hidden)
    sources = [
        {"configMap": {"name": "counted", "items": [{"key": "a", "path": "a"}]}},
        {"configMap": {"name": "other", "items": [{"key": "a", "path": "o"}]}},
    ]
    volumes = [
        {"name": "map", "configMap": {"name": "counted", "items": [{"key": "a", "path": "a"}]}},
        {"name": "secret", "secret": {"secretName": "counted"}},
        {"name": "both", "projected": {"sources": sources}},
    ]
    mounts = [{"name": each["name"], "mountPath": f"/{each['name']}"} for each in volumes]
    made = pod("counted", busybox("main", counter(), volumeMounts=mounts), busybox("side", counter()), volumes=volumes)
    polong.apply(annotated(made, "counted=main:USR1\nsecret/counted=side:USR1:sh -c*"))
    polong.ready("counted")
    logs = lambda container: polong("logs", "counted", "-c", container)  # noqa: E731
    counted["data"]["a"] = hidden["stringData"]["a"] = "2"
    polong.apply(counted, hidden)
    eventually(lambda: logs("main") == "got USR1\n" and logs("side") == "got USR1\n", "each got one", SOON)
    (event,) = [each for each in events(polong, "counted", "Reloaded") if "main" in each["involvedObject"]["fieldPath"]]
    assert event["message"].endswith("ConfigMap counted and Secret counted changed")
    other["data"]["a"] = "2"
    counted["data"]["hidden"] = "2"
    polong.apply(other, counted)
    read = ("exec", "counted", "-c", "main", "--", "cat", "/both/o")
    eventually(lambda: polong(*read) == "2", "the other one is shown", SOON)
    # What comes after is the proof that nothing came before it.
    counted["data"]["a"] = "3"
    polong.apply(counted)
    eventually(lambda: logs("main").count("got") >= 2, "the next change is told", SOON)
    assert logs("main") == "got USR1\n" * 2
    assert logs("side") == "got USR1\n"


def test_a_container_that_just_started_is_left_alone_first(polong: Client, pods: list[str]) -> None:
    """A signal before the handler is there would end it."""
    pods.append("young")
    polong.apply(site("one"))
    script = f"sleep 1; {counter('HUP')}"
    volume = [{"name": "site", "configMap": {"name": "site"}}]
    made = pod("young", busybox("c", script, volumeMounts=[{"name": "site", "mountPath": "/site"}]), volumes=volume)
    polong.apply(annotated(made, "site=c:HUP"))
    polong.ready("young")
    polong.apply(site("two"))
    eventually(lambda: polong("logs", "young") == "got HUP\n", "it heard", SOON)
    assert polong.json("get", "pod", "young")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_mistakes_are_told_when_written_and_when_it_matters(polong: Client, pods: list[str]) -> None:
    pods.append("wrong")
    polong.apply(site("one"))
    made = pod(
        "wrong",
        busybox("shell", "exec sleep 1000", volumeMounts=[{"name": "site", "mountPath": "/site"}]),
        volumes=[{"name": "site", "configMap": {"name": "site"}}],
    )
    done = polong.try_("apply", "-f", "-", stdin=json.dumps(annotated(made, "site=shel:HUP, nonsense, none=shell:HUP")))
    assert done.returncode == 0
    assert "did you mean 'shell'?" in done.stderr
    assert "entry 'nonsense' is ignored" in done.stderr
    assert "no volume shows 'none'" in done.stderr
    polong.ready("wrong")
    done = polong.try_("annotate", "pod", "wrong", "--overwrite", f"{ANNOTATION}=site=shell:HOP")
    assert "unknown signal 'HOP'" in done.stderr
    done = polong.try_("annotate", "pod", "wrong", "--overwrite", f"{ANNOTATION}=site=shell:HUP:no such process")
    assert "Warning" not in done.stderr
    polong.apply(site("two"))
    (event,) = eventually(lambda: events(polong, "wrong", "FailedReload"), "an Event tells", SOON)
    assert event["type"] == "Warning"
    assert "no process whose command line matches 'no such process'" in event["message"]
