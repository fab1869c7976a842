"""ps, tree, top, whose and signal in each kind of Pod: shared, isolated, in the node's own namespace, with users of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cluster import Client, busybox, eventually, nginx, pod

Json = dict[str, Any]

KINDS: dict[str, Json] = {
    "shared": {"shareProcessNamespace": True},
    "isolated": {},
    "host": {"hostPID": True},
    "users": {"shareProcessNamespace": True, "hostUsers": False},
    "users-isolated": {"hostUsers": False},
}
# The shell runs on beside a zombie of its child's, and an orphan.
SCRIPT = "(sleep 100001 &); sh -c 'sleep 0.1 & exec sleep 100002' & exec sleep 100003"


def items(polong: Client, name: str) -> list[Json]:
    found: list[Json] = json.loads(polong("ps", name, "-o", "json"))["items"]
    return found


def words(item: Json) -> str:
    return " ".join(item["command"]).strip() or f"[{item['name']}]"


def status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, polong: Client) -> Iterator[str]:
    name = f"kind-{request.param}"
    plain = busybox("shell", SCRIPT, securityContext={"runAsUser": 1000, "runAsGroup": 1000})
    polong.apply(pod(name, nginx(), plain, **KINDS[request.param]))
    try:
        polong.ready(name)
        eventually(lambda: any(each["zombie"] for each in items(polong, name)), "the zombie")
        yield request.param
    finally:
        polong.delete(name)


def test_every_process_is_told_as_the_kernel_has_it(polong: Client, kind: str) -> None:
    name = f"kind-{kind}"
    found = items(polong, name)
    by_words = {(each["container"], words(each)): each for each in found}
    for each in found:
        kernel = status(each["hostPID"])
        assert str(each["pid"]) == kernel["NSpid"][-1]
        assert each["pids"] == [int(number) for number in kernel["NSpid"]]
        assert each["uid"] == int(kernel["Uid"][1])
        if not each["zombie"]:
            assert each["pidNamespace"] == str(os.stat(f"/proc/{each['hostPID']}/ns/pid").st_ino)  # noqa: PTH116
            assert each["userNamespace"] == str(os.stat(f"/proc/{each['hostPID']}/ns/user").st_ino)  # noqa: PTH116
    assert len({each["hostPID"] for each in found}) == len(found)
    master = by_words["nginx", "nginx: master process nginx -g daemon off;"]
    worker = by_words["nginx", "nginx: worker process"]
    main, child = by_words["shell", "sleep 100003"], by_words["shell", "sleep 100002"]
    zombie, orphan = by_words["shell", "[sleep]"], by_words["shell", "sleep 100001"]
    assert [each["role"] for each in (master, main, worker, child)] == ["main", "main", "child", "child"]
    assert (zombie["parentHostPID"], zombie["zombie"]) == (child["hostPID"], True)
    # Who takes an orphan: /pause, the container's own PID 1, or (in the node's namespace) whoever supervises the container.
    taken = {"isolated": "child", "users-isolated": "child"}.get(kind, "orphan")
    assert orphan["role"] == taken
    shares = len({each["pidNamespace"] for each in found if not each["zombie"]}) == 1
    assert shares == (kind not in ("isolated", "users-isolated"))
    if kind.startswith("users"):
        # Root inside is a stranger outside, and named as its own container names it.
        start = master["uid"]
        assert start >= 65536
        assert (master["user"], worker["user"]) == ("root", "nginx")
        assert (main["uid"], main["containerUID"], main["containerGID"], master["containerUID"]) == (start + 1000, 1000, 1000, 0)
        assert polong("ps", name, "-c", "shell", "--no-headers").split()[3] == "1000"
    else:
        assert (master["uid"], master["user"], worker["user"], main["uid"]) == (0, "root", "nginx", 1000)


def test_tree_top_whose_and_signal(polong: Client, kind: str) -> None:
    name = f"kind-{kind}"
    tree = polong("tree", name)
    assert any(line.lstrip("├└─ ").startswith("shell  4 processes, 1 zombie") for line in tree.splitlines()), tree
    assert "2 processes" in next(line for line in tree.splitlines() if "nginx  " in line)
    top = polong("top", name, "--once", "--sort-by", "memory", "--no-headers")
    assert top.split()[0] == "nginx"
    (worker,) = [each for each in items(polong, name) if "worker" in words(each)]
    told = polong("whose", str(worker["hostPID"]))
    assert f"Pod:        default/{name} " in told
    assert f"PID:        {worker['pid']} inside, {worker['hostPID']} on the host" in told
    assert "User:       nginx (" in told
    said = polong("signal", name, "-c", "nginx", "HUP")
    assert "of container nginx" in said
    eventually(lambda: not any(each["hostPID"] == worker["hostPID"] for each in items(polong, name)), "another worker")


@pytest.mark.behaviour("pid-stop/oom")
def test_a_line_of_an_oom_kill_names_its_pod(polong: Client) -> None:
    """From the kernel's own log, line by line, after the process is gone."""
    eats = "sleep 0.5; x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    hungry = busybox("eater", eats, resources={"limits": {"memory": "24Mi"}})
    child = busybox("parent", f"sh -c '{eats}'; exec sleep 100000", resources={"limits": {"memory": "24Mi"}})
    polong.apply(pod("hungry", hungry, child, busybox("other", "sleep 1000"), shareProcessNamespace=True, restartPolicy="Never"))

    def log() -> list[str]:
        uid = polong("get", "pod", "hungry", "-o", "jsonpath={.metadata.uid}")
        lines = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout.splitlines()
        return [line for line in lines if "oom-kill:" in line and uid in line]

    if subprocess.run(["dmesg"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the kernel's log cannot be read here")
    try:
        killed = eventually(lambda: len(found := log()) == 2 and found, "both kills in the kernel's log")
        eventually(lambda: "OOMKilled" in polong("get", "pod", "hungry", "-o", "json"), "the status")
        whole = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout.splitlines()
        containers = set()
        for line in killed:
            told = polong("whose", line)
            assert "Pod:        default/hungry (uid " in told
            assert "OOMKilled: it has ended" in told
            assert "Name:       sh" in told
            container = told.partition("Container:  ")[2].split()[0]
            containers.add(container)
            assert f"Role:       {'main' if container == 'eater' else 'not the main process'}\n" in told
            pid = line.rpartition("pid=")[2].partition(",")[0]
            others = [each for each in whole if f"Killed process {pid} (" in each or f"PID: {pid} Comm: sh" in each]
            assert len(others) >= 2
            for other in (pid, *others):
                assert f"Container:  {container}\n" in polong("whose", other)
        assert containers == {"eater", "parent"}
    finally:
        polong.delete("hungry")


def test_churn_is_told_without_doubles_or_strangers(polong: Client) -> None:
    """Three containers fork as fast as they can while the list is made again and again."""
    storm = "while :; do (:); (sleep 0.01 &); /bin/true; done"
    busy = [busybox(f"storm{number}", storm, resources={"limits": {"cpu": "150m"}}) for number in range(3)]
    polong.apply(pod("churn", *busy, busybox("calm", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("churn")
        names = {"", "calm", *(each["name"] for each in busy)}
        seen: set[int] = set()
        for turn in range(25):
            listing = json.loads(polong("ps", "churn", "-o", "json") if turn % 5 else polong("ps", "churn", "-o", "json", "-c", "storm0"))
            found = listing["items"]
            keys = [(each["hostPID"], each["startTicks"]) for each in found]
            assert len(set(keys)) == len(keys)
            assert len({each["hostPID"] for each in found}) == len(found)
            assert {each["container"] for each in found} <= names
            assert not {each["hostPID"] for each in listing.get("vanished", ())} & {each["hostPID"] for each in found}
            assert all(each["pid"] > 0 and each["role"] for each in found)
            if turn % 5:
                assert [each["container"] for each in found if each["role"] == "pause"] == [""]
                assert {each["container"] for each in found if each["role"] == "main"} == names - {""}
            seen |= {each["hostPID"] for each in found}
        assert len(seen) > 20
        for command in (("tree",), ("top", "--once"), ("ps", "-o", "wide")):
            assert "storm0" in polong(command[0], "churn", *command[1:])
        polong("signal", "churn", "-c", "storm1", "--all", "STOP")
        polong("signal", "churn", "-c", "storm1", "--all", "CONT")
    finally:
        polong.delete("churn")


def test_readers_that_leave_full_disks_and_narrow_terminals(polong: Client) -> None:
    polong.apply(pod("pipes", busybox("app", "exec sleep 1000"), shareProcessNamespace=True))

    def shell(line: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-c", line.replace("polong", str(polong.program))]
        return subprocess.run(command, env=polong.env, capture_output=True, text=True, timeout=60, check=False)

    try:
        polong.ready("pipes")
        for line in ("polong ps pipes", "polong tree pipes", "polong ps pipes -o json", "polong top pipes --once"):
            full = shell(f"{line} > /dev/full")
            assert (full.returncode, full.stderr) == (1, "error: No space left on device\n")
        left = shell("polong ps pipes -w --interval 0.2 | head -1; echo ${PIPESTATUS[0]}")
        assert (left.stdout.splitlines()[-1], left.stderr) == ("141", "")
        interrupted = shell("timeout -s INT 2 polong ps pipes -w --interval 0.2 >/dev/null; echo $?")
        assert (interrupted.stdout, interrupted.stderr.strip()) == ("124\n", "")
        for command in ("ps", "tree"):
            with polong.terminal(command, "pipes", size=(30, 10)) as terminal:
                terminal.expect("<pod>|default/pipes")
                assert terminal.wait() == 0
            assert all(len(line) <= 30 for line in terminal.text.splitlines()), terminal.text
    finally:
        polong.delete("pipes")
