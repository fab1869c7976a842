"""`polong ps`: every process of a Pod with its owner, checked against what the kernel says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cluster import Client, Node, any_kubectl, busybox, eventually, nginx, pod


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


def test_probes_and_hooks_are_told_apart_from_somebodys_exec(polong: Client) -> None:
    probe = {"exec": {"command": ["sh", "-c", "exec sleep 61"]}, "timeoutSeconds": 100}
    hook = {"preStop": {"exec": {"command": ["sleep", "62"]}}}
    app = busybox("app", "trap '' TERM; while :; do sleep 1; done", livenessProbe=probe, lifecycle=hook)
    polong.apply(pod("roles", app, shareProcessNamespace=True, terminationGracePeriodSeconds=30))

    def roles() -> dict[str, str]:
        return {each["words"]: each["role"] for each in listed(polong, "roles")}

    try:
        polong.ready("roles")
        eventually(lambda: roles().get("sleep 61") == "probe", "the probe runs")
        assert "sleep 61  (probe)" in polong("ps", "roles")
        polong("delete", "pod", "roles", "--grace-period=20", "--wait=false")
        eventually(lambda: roles().get("sleep 62") == "hook", "the hook runs")
    finally:
        polong.delete("roles")


@pytest.mark.behaviour("pid-stop/leftovers")
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


@pytest.mark.behaviour("pid-pause/reaps", "pid-pause/parents")
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


@pytest.mark.behaviour("pid-pause/term-kills-pod", "pid-kubelet/sandbox-changed")
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


def running(polong: Client, name: str, container: str) -> tuple[int, bool]:
    """Restart count, and whether it runs."""
    states = polong.json("get", "pod", name)["status"]["containerStatuses"]
    (one,) = [each for each in states if each["name"] == container]
    return one["restartCount"], "running" in one["state"]


def hosts(polong: Client, name: str) -> dict[str, int]:
    """Container -> host PID of its main process."""
    return {each["container"]: each["hostPID"] for each in listed(polong, name) if each["role"] == "main"}


def capabilities_of(pid: int, line: str) -> int:
    (bits,) = [each.split()[1] for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith(line)]
    return int(bits, 16)


def test_rights_are_those_that_the_kernel_has(polong: Client) -> None:
    """Every process of a shared Pod: capabilities, no_new_privs, seccomp, namespaces, groups."""
    bound = busybox(
        "bound",
        "sleep 1000",
        securityContext={"runAsUser": 1234, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    )
    tracer = busybox("tracer", "sleep 1000", securityContext={"capabilities": {"add": ["SYS_PTRACE"]}})
    polong.apply(pod("rights", bound, tracer, shareProcessNamespace=True))
    try:
        polong.ready("rights")
        mains = {each["container"]: each for each in listed(polong, "rights") if each["role"] == "main"}
        for each in mains.values():
            for word, line in (("effective", "CapEff"), ("permitted", "CapPrm"), ("bounding", "CapBnd"), ("ambient", "CapAmb")):
                assert len(each["capabilities"][word]) == capabilities_of(each["hostPID"], line + ":").bit_count()
            assert each["seccomp"] == "Filter"
            assert each["userNamespace"] == str(os.stat(f"/proc/{each['hostPID']}/ns/user").st_ino)  # noqa: PTH116
            assert each["openFiles"] >= 3
            assert each["pssBytes"] > 0
        assert (mains["bound"]["uid"], mains["bound"]["noNewPrivileges"], mains["bound"]["capabilities"]["effective"]) == (1234, True, [])
        assert not mains["tracer"]["noNewPrivileges"]
        assert "SYS_PTRACE" in mains["tracer"]["capabilities"]["effective"]
        assert "default+SYS_PTRACE" in polong("ps", "rights", "-o", "wide")
    finally:
        polong.delete("rights")


@pytest.mark.behaviour("pid-api/modes")
def test_in_the_nodes_own_namespace_pids_are_host_pids(polong: Client) -> None:
    polong.apply(pod("hostpids", busybox("app", "sleep 1000 & exec sleep 1001"), hostPID=True))
    try:
        polong.ready("hostpids")
        found = [each for each in listed(polong, "hostpids") if each["container"] == "app"]
        assert {each["words"] for each in found} == {"sleep 1000", "sleep 1001"}
        assert all(each["pid"] == each["hostPID"] for each in found)
        (child,) = [each for each in found if each["role"] == "child"]
        polong("signal", "hostpids", "--pid", str(child["pid"]), "KILL")
        eventually(lambda: not any(each["words"] == "sleep 1000" and not each["zombie"] for each in listed(polong, "hostpids")), "its end")
        assert polong.try_("signal", "hostpids", "--pid", str(os.getpid()), "TERM").returncode != 0
    finally:
        polong.delete("hostpids")


@pytest.mark.behaviour("pid-stop/siblings")
def test_signal_reaches_the_main_process_and_no_other(polong: Client) -> None:
    """The page's `kill -HUP`, from outside: the master keeps its PID, the worker is another one."""
    polong.apply(pod("hup", nginx(), busybox("shell", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("hup")
        before = listed(polong, "hup")
        (old,) = [each["pid"] for each in before if "worker" in each["words"]]
        assert "would be sent to PID" in polong("signal", "hup", "-c", "nginx", "HUP", "--dry-run")
        assert [each["pid"] for each in listed(polong, "hup")] == [each["pid"] for each in before]
        said = polong("signal", "hup", "-c", "nginx", "HUP")
        assert said.startswith("SIGHUP sent to PID ")
        assert "of container nginx" in said

        def replaced() -> bool:
            workers = [each["pid"] for each in listed(polong, "hup") if "worker" in each["words"] and not each["zombie"]]
            return bool(workers) and old not in workers

        eventually(replaced, "another worker")
        masters = [[each["pid"] for each in found if "master" in each["words"]] for found in (before, listed(polong, "hup"))]
        assert masters[0] == masters[1]

        def told() -> str:
            return polong("get", "events", "--field-selector=involvedObject.name=hup,reason=Signaled", "-o", "jsonpath={.items[*].message}")

        assert "Sent SIGHUP to PID" in eventually(told, "the event")
        refused = polong.try_("signal", "hup", "--pid", "1", "TERM")
        assert refused.returncode == 1
        assert "it would be /pause of pod hup" in refused.stderr
        assert "did you mean 'nginx'" in polong.try_("signal", "hup", "-c", "ngnix", "HUP").stderr
        assert "choose one of: [nginx shell]" in polong.try_("signal", "hup", "HUP").stderr
    finally:
        polong.delete("hup")


def test_the_same_pid_in_isolated_containers_needs_a_name(polong: Client) -> None:
    trap = "trap 'echo got >/dev/termination-log; exit 0' USR1; while :; do sleep 0.05; done"
    polong.apply(pod("alone", busybox("one", trap), busybox("two", "exec sleep 1000"), restartPolicy="Never"))
    try:
        polong.ready("alone")
        assert "do not share a process namespace" in polong.try_("signal", "alone", "--pid", "1", "USR1").stderr
        two = hosts(polong, "alone")["two"]
        polong("signal", "alone", "--pid", "1", "-c", "one", "USR1")

        def ended() -> bool:
            states = polong.json("get", "pod", "alone")["status"]["containerStatuses"]
            return any((each["state"].get("terminated") or {}).get("message") == "got\n" for each in states)

        eventually(ended, "its last word")
        assert hosts(polong, "alone") == {"two": two}
    finally:
        polong.delete("alone")


@pytest.mark.behaviour("pid-stop/new-pid", "pid-stop/siblings")
def test_one_container_restarts_in_place(polong: Client) -> None:
    polong.apply(pod("again", busybox("app", "sleep 1000"), busybox("peer", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("again")
        before = hosts(polong, "again")
        for count in (1, 2, 3):
            assert f"restarted (restart count {count})" in polong("restart", "again", "-c", "app")
        after = hosts(polong, "again")
        assert after["peer"] == before["peer"]
        assert after["app"] != before["app"]
        assert (running(polong, "again", "app"), running(polong, "again", "peer")) == ((3, True), (0, True))
        reasons = polong("get", "events", "--field-selector=involvedObject.name=again", "-o", "jsonpath={.items[*].reason}").split()
        assert "BackOff" not in reasons
    finally:
        polong.delete("again")


def test_a_restart_by_policy(polong: Client) -> None:
    polong.apply(pod("once", busybox("app", "sleep 1000"), restartPolicy="Never"))
    polong.apply(pod("failing", busybox("app", "trap 'exit 0' TERM; while :; do sleep 0.05; done"), restartPolicy="OnFailure"))
    try:
        polong.ready("once")
        polong.ready("failing")
        main = hosts(polong, "once")
        refused = polong.try_("restart", "once")
        assert refused.returncode == 1
        assert "restartPolicy is Never" in refused.stderr
        assert hosts(polong, "once") == main
        assert "restarted (restart count 1)" in polong("restart", "failing")
    finally:
        polong.delete("once")
        polong.delete("failing")


def test_whose_is_this_host_pid(polong: Client) -> None:
    polong.apply(pod("owner", nginx(), busybox("shell", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("owner")
        for each in listed(polong, "owner"):
            found = json.loads(polong("whose", str(each["hostPID"]), "-o", "json"))
            assert (found["pod"]["name"], found["pod"]["namespace"]) == ("owner", "default")
            assert (found["container"], found["role"], found["pid"]) == (each["container"], each["role"], each["pid"])
            assert found["cgroup"] == each["cgroup"]
            line = f"oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/,task_memcg=/above{each['cgroup']},task=sh,pid=99,uid=0"
            assert f"Container:  {each['container'] or 'unknown'}" in polong("whose", line)
        stranger = polong.try_("whose", str(os.getpid()))
        assert stranger.returncode == 1
        assert "belongs to no pod of this node" in stranger.stderr
        assert "no process has PID 4194300" in polong.try_("whose", "4194300").stderr
    finally:
        polong.delete("owner")


def test_a_watch_tells_of_births_and_deaths(polong: Client, node: Node) -> None:
    polong.apply(pod("births", busybox("app", "sleep 1; sleep 0.7; sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("births")
        path = "/apis/polong.dev/v1alpha1/namespaces/default/pods/births/processes?watch=true&interval=0.2&timeoutSeconds=4"
        program = any_kubectl()
        if program is None:
            pytest.skip("kubectl is not installed")
        text = node.client(program)("get", "--raw", path)
        events = [json.loads(line) for line in text.splitlines()]
        deaths = [" ".join(each["object"]["command"]) for each in events if each["type"] == "DELETED"]
        births = [" ".join(each["object"]["command"]) for each in events if each["type"] == "ADDED"]
        changed = [" ".join(each["object"]["command"]) for each in events if each["type"] == "MODIFIED"]
        assert "sleep 0.7" in deaths
        assert {"/pause", "sleep 0.7"} <= set(births)
        # The shell becomes its last command: the same process.
        assert "sleep 1000" in changed
    finally:
        polong.delete("births")


def test_trees_and_tops_of_all_pods(polong: Client) -> None:
    busy = busybox("busy", "while :; do :; done", resources={"limits": {"cpu": "100m"}})
    polong.apply(pod("load", busy, busybox("idle", "sleep 1000"), shareProcessNamespace=True))
    try:
        polong.ready("load")
        assert "├─ busy  1 process" in polong("tree", "load")
        lines = polong("top", "-A", "--once").splitlines()
        assert lines[0].split()[:3] == ["NAMESPACE", "POD", "CONTAINER"]
        assert lines[1].split()[1:3] == ["load", "busy"]
        shown = json.loads(polong("top", "load", "--once", "-o", "json"))["items"][0]
        assert 1 < shown["cpuPercent"] < 60
        with polong.terminal("top", "load", "--interval", "0.5") as terminal:
            terminal.expect("by cpu")
            terminal.send("m")
            terminal.expect("by memory")
            terminal.send("q")
            assert terminal.wait() == 0
    finally:
        polong.delete("load")
