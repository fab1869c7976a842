"""`polong ps`: every process of a Pod with its owner, checked against what the kernel says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Client, busybox, eventually, nginx, pod


def listed(polong: Client, name: str) -> list[dict[str, Any]]:
    """Items of the ProcessList, each with its arguments as one line under `words`."""
    items: list[dict[str, Any]] = json.loads(polong("ps", name, "-o", "json"))["items"]
    return [{**item, "words": " ".join(item["command"]).strip() or item["name"]} for item in items]


def test_a_shared_pod_is_one_tree_with_owners(polong: Client) -> None:
    polong.apply(pod("tree", nginx(), busybox("shell", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("tree")
        text = polong("ps", "tree")
        for words in ("/pause", "nginx: master process", "nginx: worker process", "sleep 1000"):
            assert words in text
        found = listed(polong, "tree")
        for each in found:
            status = Path(f"/proc/{each['hostPID']}/status").read_text()
            (numbers,) = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
            assert str(each["pid"]) == numbers[-1]
        owners = {each["words"].partition(":")[0]: each["container"] for each in found}
        assert owners["nginx"] == "nginx"
        assert owners["sleep 1000"] == "shell"
        assert owners["/pause"] == ""
        assert len({each["pidNamespace"] for each in found}) == 1
    finally:
        polong.delete("tree")


def test_an_isolated_pod_has_a_pid_1_for_each_container(polong: Client) -> None:
    polong.apply(pod("trees", busybox("one", "exec sleep 1001"), busybox("two", "exec sleep 1002")))
    try:
        polong.ready("trees")
        found = listed(polong, "trees")
        first = {each["container"]: each for each in found if each["pid"] == 1}
        assert (first["one"]["words"], first["two"]["words"]) == ("sleep 1001", "sleep 1002")
        assert first["one"]["pidNamespace"] != first["two"]["pidNamespace"]
    finally:
        polong.delete("trees")


def test_what_came_by_exec_is_marked(polong: Client) -> None:
    polong.apply(pod("marked", busybox("app", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("marked")
        with polong.terminal("exec", "-it", "marked", "--", "sh") as terminal:
            terminal.until_prompt()
            terminal.command("sleep 4343 &")
            by_words = {each["words"]: each for each in listed(polong, "marked")}
            assert by_words["sh"]["executed"]
            assert not by_words["sleep 1000"]["executed"]
            assert by_words["sleep 4343"]["container"] == "app"
    finally:
        polong.delete("marked")


def test_what_a_container_leaves_behind_dies_with_its_main_process(polong: Client) -> None:
    """Shared namespace: the kernel does not do it, the node must; the sibling does not notice."""
    script = "(sleep 4242 &) ; (sleep 4242 &) ; sleep 2; exit 0"
    polong.apply(pod("leftover", busybox("app", script), busybox("peer", "sleep 1000"), shareProcessNamespace=True, restartPolicy="Never"))
    try:
        eventually(lambda: any("4242" in each["words"] for each in listed(polong, "leftover")), "the leftovers to start")
        peer = [each["hostPID"] for each in listed(polong, "leftover") if each["container"] == "peer"]

        def ended() -> bool:
            states = polong.json("get", "pod", "leftover")["status"]["containerStatuses"]
            return any(each["name"] == "app" and "terminated" in each["state"] for each in states)

        eventually(ended, "app to end")
        left = listed(polong, "leftover")
        assert not [each for each in left if "4242" in each["words"]]
        assert [each["hostPID"] for each in left if each["container"] == "peer"] == peer
        os.kill(peer[0], 0)
    finally:
        polong.delete("leftover")


def test_orphans_are_reaped_by_pause(polong: Client) -> None:
    polong.apply(pod("orphans", busybox("app", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("orphans")
        polong("exec", "orphans", "--", "sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1 &); done")
        eventually(
            lambda: not [each for each in listed(polong, "orphans") if "sleep 0.1" in each["words"] or each["zombie"]],
            "no zombie",
        )
    finally:
        polong.delete("orphans")


def test_a_term_to_pid_1_makes_the_sandbox_anew(polong: Client) -> None:
    """The kernel kills everybody in the namespace; the kubelet starts the containers again at once, in a new sandbox."""
    polong.apply(pod("anew", busybox("one", "sleep 1000"), busybox("two", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("anew")
        before = {each["hostPID"] for each in listed(polong, "anew")}
        polong.try_("exec", "anew", "-c", "one", "--", "kill", "-TERM", "1")

        def again() -> bool:
            states = polong.json("get", "pod", "anew")["status"]["containerStatuses"]
            return [each["restartCount"] for each in states] == [1, 1] and all("running" in each["state"] for each in states)

        eventually(again, "both containers to run again", 8)
        assert not before & {each["hostPID"] for each in listed(polong, "anew")}
        reasons = polong("get", "events", "--field-selector=involvedObject.name=anew", "-o", "jsonpath={.items[*].reason}").split()
        assert "SandboxChanged" in reasons
        assert not {"Failed", "BackOff"} & set(reasons)
    finally:
        polong.delete("anew")
