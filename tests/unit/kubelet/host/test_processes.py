"""Whose is it and how did it come: told from what was read. The /proc here is written by the test."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.kubelet.doubles import pod

from polong.kubelet.host.processes import Group, Reader, _accounts, classify
from polong.kubelet.host.processlist import process_list

PAUSE = Group("", "s1", "/p/s1", 10)
NGINX = Group("nginx", "c1", "/p/c1", 20)
SHELL = Group("shell", "c2", "/p/c2", 30)


class Proc:
    """A /proc of plain files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cgroups: dict[str, list[int]] = {}
        (root / "stat").write_text("cpu 0\nbtime 1000\n")

    def add(
        self, group: Group, host: int, inner: int, ppid: int, command: str, *, state: str = "S", uid: int = 0, start: int = 100
    ) -> None:
        directory = self.root / str(host)
        directory.mkdir()
        name = command.split()[0].rpartition("/")[2][:15] or "x"
        fields = [state, ppid, host, host, 0, 0, 0, 0, 0, 0, 0, 150, 50, 0, 0, 20, 0, 3, 0, start, 1 << 20, 10]
        (directory / "stat").write_text(f"{host} ({name}) {' '.join(map(str, fields))}\n")
        uids = "\t".join([str(uid)] * 4)
        caps = "".join(f"Cap{each}:\t0\n" for each in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
        ids = f"{host}\t{inner}" if inner != host else str(host)
        (directory / "status").write_text(
            f"Name:\t{name}\nPid:\t{host}\nPPid:\t{ppid}\nUid:\t{uids}\nGid:\t{uids}\nNSpid:\t{ids}\nVmRSS:\t4 kB\n{caps}Groups:\t\n"
        )
        (directory / "cmdline").write_text("" if state == "Z" else command.replace(" ", "\0") + "\0")
        (directory / "cgroup").write_text(f"4:memory:{group.cgroup}\n0::{group.cgroup}\n")
        if state != "Z":
            self.cgroups.setdefault(group.cgroup, []).append(host)

    def passwd(self, host: int, text: str) -> None:
        root = self.root / str(host) / "root" / "etc"
        root.mkdir(parents=True)
        (root / "passwd").write_text(text)

    def reader(self) -> Reader:
        return Reader(members=lambda path: self.cgroups.get(path, []), root=self.root, ticks=100, page=4096)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    """The page's Pod, with an exec'd shell, what it started, an orphan and a zombie."""
    made = Proc(tmp_path)
    made.add(PAUSE, 10, 1, 5, "/pause")
    made.add(NGINX, 20, 7, 19, "nginx: master")
    made.add(NGINX, 21, 8, 20, "nginx: worker", uid=101)
    made.add(SHELL, 30, 13, 29, "sh")
    made.add(SHELL, 31, 14, 3, "bash")
    made.add(SHELL, 32, 15, 31, "sleep 9")
    made.add(SHELL, 33, 16, 10, "daemon")
    made.add(SHELL, 34, 17, 30, "dead", state="Z")
    made.passwd(20, "root:x:0:0::/:/bin/sh\nnginx:x:101:101::/:/bin/false\n")
    made.passwd(30, "root:x:0:0::/:/bin/sh\n")
    return made


def roles(proc: Proc, *groups: Group) -> dict[int, str]:
    return {each.found.stat.pid: each.role for each in classify(proc.reader().read(groups).found)}


def test_roles_in_a_shared_pod(proc: Proc) -> None:
    assert roles(proc, PAUSE, NGINX, SHELL) == {
        10: "pause",
        20: "main",
        21: "child",
        30: "main",
        31: "exec",
        32: "child",
        33: "orphan",
        34: "child",
    }


def test_what_the_node_itself_started_is_told_apart(proc: Proc) -> None:
    """The number alone does not make a probe of a child, nor of an orphan."""
    shell = Group(SHELL.container, SHELL.id, SHELL.cgroup, SHELL.pid, {31: "probe", 32: "hook", 33: "probe"})
    told = roles(proc, PAUSE, NGINX, shell)
    assert (told[31], told[32], told[33]) == ("probe", "child", "orphan")
    by_pid = {each["pid"]: each for each in process_list(pod(), [PAUSE, NGINX, shell], proc.reader())["items"]}
    assert by_pid[14]["executed"]


def test_the_list(proc: Proc) -> None:
    listed = process_list(pod(), [PAUSE, NGINX, SHELL], proc.reader())
    assert (listed["kind"], listed["apiVersion"]) == ("ProcessList", "polong.dev/v1alpha1")
    by_pid = {each["pid"]: each for each in listed["items"]}
    worker = by_pid[8]
    assert (worker["container"], worker["hostPID"], worker["parentHostPID"], worker["user"], worker["uid"]) == (
        "nginx",
        21,
        20,
        "nginx",
        101,
    )
    assert (worker["cpuSeconds"], worker["rssBytes"], worker["threads"]) == (2.0, 40960, 3)
    assert worker["startTime"] == "1970-01-01T00:16:41Z"
    assert by_pid[1]["container"] == ""
    assert by_pid[14]["executed"]
    assert by_pid[14]["parentHostPID"] == 0
    assert by_pid[16]["orphan"]
    dead = by_pid[17]
    assert (dead["zombie"], dead["command"], dead["name"], dead["container"], dead["user"]) == (True, [], "dead", "shell", "root")


def test_an_orphan_in_the_nodes_namespace_was_taken_by_the_supervisor(tmp_path: Path) -> None:
    made = Proc(tmp_path)
    made.add(SHELL, 30, 30, 29, "sh")
    made.add(SHELL, 35, 35, 29, "daemon")
    made.add(SHELL, 36, 36, 3, "bash")
    assert roles(made, SHELL) == {30: "main", 35: "orphan", 36: "exec"}
    assert {each["pid"] for each in process_list(pod(), [SHELL], made.reader())["items"]} == {30, 35, 36}


def test_what_the_runtime_leaves_of_itself_is_not_the_containers(proc: Proc) -> None:
    """A zombie of the node's own namespace, in the cgroup of a container that has its own."""
    proc.add(SHELL, 40, 40, 3, "crun", state="Z")
    assert 40 not in roles(proc, PAUSE, NGINX, SHELL)


def test_a_number_that_changed_hands_after_it_was_listed_is_nobodys(proc: Proc) -> None:
    """Who began before the list was taken had the number then; who began later is asked for its cgroup."""
    for pid in (31, 32):
        (proc.root / f"{pid}/cgroup").write_text("0::/elsewhere\n" if pid == 32 else "0::/p/c2/inner\n")
    for now, there in ((0.99, {31}), (1.0, {31}), (1.01, {31, 32})):  # both began 100 ticks, which is a second, after boot
        reader = replace(proc.reader(), now=lambda now=now: now)
        assert {each.stat.pid for each in reader.read([SHELL]).found} & {31, 32} == there


def test_what_vanishes_while_it_is_read_is_left_out(proc: Proc) -> None:
    proc.cgroups["/p/c2"].append(99)
    (proc.root / "33/status").unlink()
    assert set(roles(proc, SHELL)) == {30, 31, 32, 34}
    assert process_list(pod(), [SHELL], proc.reader())["vanished"] == [
        {"container": "shell", "hostPID": 33},
        {"container": "shell", "hostPID": 99},
    ]


def test_what_is_born_while_it_is_read_is_read_too(proc: Proc) -> None:
    looks = iter([[30], [30, 31], [30, 31, 32]])
    last = [30, 31, 32]
    reader = Reader(members=lambda _: next(looks, last), root=proc.root, ticks=100)
    assert {each.stat.pid for each in reader.read([SHELL]).found} == {30, 31, 32, 34}


def test_a_group_that_forks_without_end_is_given_up_on(proc: Proc) -> None:
    numbers = iter(range(1000, 100_000))
    reader = Reader(members=lambda _: [30, next(numbers)], root=proc.root, ticks=100)
    look = reader.read([SHELL])
    assert 30 in {each.stat.pid for each in look.found}
    assert 0 < len(look.vanished) < 20


def test_details(proc: Proc) -> None:
    for pid, uid in ((31, 0), (32, 7)):
        status = (proc.root / f"{pid}/status").read_text().replace("Uid:\t0\t0\t0\t0", "\t".join(["Uid:", *[str(uid)] * 4]))
        status = status.replace("CapEff:\t0", "CapEff:\t80000").replace("CapBnd:\t0", "CapBnd:\t80000000001")
        (proc.root / f"{pid}/status").write_text(status + "NoNewPrivs:\t1\nSeccomp:\t2\n")
        (proc.root / f"{pid}/smaps_rollup").write_text("Pss: 3 kB\nSwap: 1 kB\n")
    reader = replace(proc.reader(), dumpable=lambda pid, _: {31: True, 32: False}.get(pid))
    items = {each["hostPID"]: each for each in process_list(pod(), [SHELL], reader, full=True)["items"]}
    seen = items[32]
    assert (seen["dumpable"], seen["noNewPrivileges"], seen["seccomp"], seen["pssBytes"], seen["swapBytes"]) == (
        False,
        True,
        "Filter",
        3072,
        1024,
    )
    assert seen["capabilities"]["effective"] == ["SYS_PTRACE"]
    assert seen["capabilities"]["bounding"] == ["CHOWN", "43"]
    assert (seen["pids"], seen["openFiles"], seen["cgroup"]) == ([32, 15], None, "/p/c2")
    assert (items[31]["dumpable"], items[30]["dumpable"]) == (True, None)
    assert "capabilities" not in process_list(pod(), [SHELL], proc.reader())["items"][0]


def test_arguments_that_are_no_text(proc: Proc) -> None:
    (proc.root / "32/cmdline").write_bytes(b"\xff\xfe\0ok\0")
    items = process_list(pod(), [SHELL], proc.reader())["items"]
    assert next(each["command"] for each in items if each["hostPID"] == 32) == ["\ufffd\ufffd", "ok"]


@pytest.mark.parametrize("kind", ["huge", "fifo", "absent", "escape"])
def test_a_hostile_passwd_names_nobody(proc: Proc, kind: str, tmp_path: Path) -> None:
    path = proc.root / "30/root/etc/passwd"
    path.unlink()
    if kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "escape":
        path.symlink_to(tmp_path / "20/root/etc/passwd")
    items = process_list(pod(), [SHELL], proc.reader())["items"]
    assert {each["user"] for each in items} == {""}


def test_accounts_are_numbers_and_printable_names() -> None:
    data = b"a:x:1:1\nb:x:1:1\nc:x:-2:1\nd:x:\xd9\xa3:1\n\x1b[2J:x:4:1\nshort\n:x:5:5\n"
    assert _accounts(data) == {1: "a"}
