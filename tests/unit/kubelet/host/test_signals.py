"""Who gets a signal, and that nobody else does."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.doubles import container, pod

from polong.kit.errors import BadRequest, FailedPrecondition, Forbidden, NotFound, PolongError
from polong.kubelet.host import signals
from polong.kubelet.host.signals import choose, deliver
from polong.linux import proc
from polong.objects.podsignal import SignalOptions

Json = dict[str, Any]


def process(pid: int, owner: str, words: str, role: str = "child", **more: Any) -> Json:
    return {
        "container": owner,
        "containerID": f"id-{owner}",
        "role": role,
        "pid": pid,
        "hostPID": pid + 1000,
        "parentPID": 1,
        "startTicks": 5,
        "name": words.split()[0][:15],
        "command": [] if more.get("zombie") else words.split(),
        "user": "root",
        "zombie": False,
        **more,
    }


ITEMS = [
    process(1, "", "/pause", "pause"),
    process(7, "nginx", "nginx: master process", "main"),
    process(8, "nginx", "nginx: worker process"),
    process(9, "shell", "sh", "main"),
    process(10, "shell", "sleep 9", zombie=True),
]
POD = pod(container("nginx"), container("shell"))


def chosen(items: list[Json] | None = None, **options: Any) -> list[int]:
    return [each["pid"] for each in choose(POD, ITEMS if items is None else items, SignalOptions(1, **options))]


def test_the_main_process_wherever_its_pid_is() -> None:
    assert chosen(container="nginx") == [7]
    assert chosen(container="shell") == [9]


@pytest.mark.parametrize(
    ("options", "pids"),
    [
        ({"pid": 8}, [8]),
        ({"match": "nginx"}, [7, 8]),
        ({"match": "nginx: w*ss"}, [8]),
        ({"match": "nginx", "container": "nginx"}, [7, 8]),
        ({"everyone": True}, [7, 8, 9]),
        ({"everyone": True, "container": "shell"}, [9]),
        ({"everyone": True, "allow_pause": True}, [7, 8, 9, 1]),
        ({"pid": 1, "allow_pause": True}, [1]),
    ],
)
def test_choices(options: Json, pids: list[int]) -> None:
    assert chosen(**options) == pids


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({}, BadRequest, r"a container name must be specified for pod web, choose one of: \[nginx shell\]"),
        ({"container": "ngin"}, NotFound, "pod web has no container 'ngin'; did you mean 'nginx'"),
        ({"container": "zzz"}, NotFound, "it has: nginx, shell"),
        ({"pid": 1}, Forbidden, "/pause of pod web"),
        ({"match": "/pause"}, Forbidden, "/pause of pod web"),
        ({"pid": 99}, NotFound, "no process with PID 99: see polong ps web"),
        ({"pid": 1008}, NotFound, "host PID 1008 is PID 8 there"),
        ({"pid": 8, "container": "shell"}, FailedPrecondition, "does not belong to container shell, but to container nginx"),
        ({"pid": 10}, FailedPrecondition, "PID 10 .sleep. is a zombie: it has ended"),
        ({"match": "sleep"}, NotFound, "no process whose command line matches 'sleep' in pod web"),
        ({"match": "sh", "container": "nginx"}, NotFound, "in container nginx of pod web"),
    ],
)
def test_what_cannot_be_meant(options: Json, kind: type[PolongError], text: str) -> None:
    with pytest.raises(kind, match=text):
        chosen(**options)


def test_isolated_containers_have_equal_pids() -> None:
    items = [process(1, "", "/pause", "pause"), process(1, "nginx", "nginx", "main"), process(1, "shell", "sh", "main")]
    assert chosen(items, pid=1, container="shell") == [1]
    with pytest.raises(BadRequest, match="do not share a process namespace: PID 1 is in each of nginx, shell"):
        chosen(items, pid=1)


def test_what_has_not_started() -> None:
    with pytest.raises(FailedPrecondition, match="pod web has no processes: it is Pending"):
        chosen([], container="nginx")
    waiting = {"name": "nginx", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    own = {**POD, "status": {"containerStatuses": [waiting]}}
    with pytest.raises(FailedPrecondition, match=r"container nginx of pod web does not run: it is waiting \(ImagePullBackOff\)"):
        choose(own, ITEMS[:1], SignalOptions(1, container="nginx"))


def test_a_single_container_needs_no_name() -> None:
    assert choose(pod(container("nginx")), ITEMS, SignalOptions(1))[0]["pid"] == 7
    annotated = pod(container("nginx"), container("shell"))
    annotated["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "shell"}
    assert choose(annotated, ITEMS, SignalOptions(1))[0]["pid"] == 9


def test_only_the_process_that_was_meant_gets_it() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            start = proc.stat(child.pid).start_time
            assert not deliver(child.pid, start + 1, "", signal.SIGKILL)
            assert not deliver(child.pid, start, "/no/such/cgroup", signal.SIGKILL)
            assert child.poll() is None
            assert deliver(child.pid, start, "", signal.SIGTERM)
            assert child.wait(5) == -signal.SIGTERM
        finally:
            child.kill()
    assert not deliver(child.pid, start, "", signal.SIGTERM)


def test_a_dry_run_sends_nothing_and_says_so() -> None:
    me = {**ITEMS[1], "hostPID": os.getpid()}
    (receiver,) = signals.send([me], SignalOptions(signal.SIGKILL, dry_run=True), {}, Path("/proc"))
    assert (receiver["outcome"], receiver["pid"], receiver["container"]) == ("would be sent", 7, "nginx")
    assert signals.stories(SignalOptions(9), [receiver], "") == []


def test_events_name_who_got_it() -> None:
    got = [{**each, "outcome": "sent"} for each in ITEMS[1:4]] + [{**ITEMS[4], "outcome": "vanished"}]
    assert signals.stories(SignalOptions(1), got, "admin") == [
        ("nginx", "Sent SIGHUP to PID 7 (nginx:), PID 8 (nginx:), as admin asked"),
        ("shell", "Sent SIGHUP to PID 9 (sh), as admin asked"),
    ]
