"""The kernel's log."""

import os

from polong.linux import kmsg


def test_what_cannot_be_read_is_empty(tmp_path):
    assert kmsg.records(tmp_path / "none") == []


def test_records_end_where_nothing_waits(tmp_path):
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    with path.open("r+b", buffering=0) as file:
        file.write(b"one\n")
        assert kmsg.records(path) == ["one\n"]


def test_the_last_victim_of_a_number_counts():
    lines = [f"oom-kill:x,task_memcg={cgroup},task=t,pid=5,uid=0" for cgroup in ("/a", "/b")]
    assert kmsg.oom_victim(5, [*lines, "Killed process 6"]) == ("t", "/b")
    assert kmsg.oom_victim(6, lines) is None
