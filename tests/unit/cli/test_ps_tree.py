"""The tree: one a PID namespace, drawn by parent, marked, escaped."""

from typing import Any

from polong.cli.ps_tree import cpu, render, size

Json = dict[str, Any]


def process(pid: int, host: int, parent: int, container: str, *command: str, **more: Any) -> Json:
    base = {"pid": pid, "hostPID": host, "parentHostPID": parent, "container": container, "command": list(command), "pidNamespace": 1}
    return {**base, "uid": 0, "user": "root", "state": "S", "cpuSeconds": 0.0, "rssBytes": 8192, "name": "x", **more}


PAGE = [
    process(1, 100, 0, "", "/pause"),
    process(7, 101, 0, "nginx", "nginx: master process nginx -g daemon off;"),
    process(30, 103, 101, "nginx", "nginx: worker process", uid=101, user="nginx"),
    process(13, 102, 0, "shell", "sh"),
]


def test_the_page_is_one_tree() -> None:
    assert render(PAGE) == [
        "CONTAINER   PID   HOSTPID   USER    STAT   CPU       RSS   COMMAND",
        "<pod>       1     100       root    S      0:00.00   8K    /pause",
        "nginx       7     101       root    S      0:00.00   8K    nginx: master process nginx -g daemon off;",
        "nginx       30    103       nginx   S      0:00.00   8K    └─ nginx: worker process",
        "shell       13    102       root    S      0:00.00   8K    sh",
    ]


def test_deeper_levels_are_drawn_with_lines() -> None:
    items = [process(1, 1, 0, "c", "a"), process(2, 2, 1, "c", "b"), process(3, 3, 2, "c", "c"), process(4, 4, 1, "c", "d")]
    assert [line.split("8K    ")[1] for line in render(items, headers=False)] == ["a", "├─ b", "│  └─ c", "└─ d"]


def test_isolated_pods_have_one_tree_a_container() -> None:
    items = [process(1, 10, 0, "a", "x", pidNamespace=1), process(1, 20, 0, "b", "y", pidNamespace=2)]
    lines = render(items, headers=False)
    assert lines[1] == ""
    assert [lines[0].split()[0], lines[2].split()[0]] == ["a", "b"]


def test_marks() -> None:
    items = [
        process(5, 5, 0, "c", "sleep", "9", executed=True),
        process(3, 3, 0, "c", "check", executed=True, role="probe"),
        process(6, 6, 0, "c", "daemon", orphan=True),
        process(7, 7, 0, "c", name="gone", zombie=True, orphan=True, state="Z"),
    ]
    assert [line.split("8K    ")[1] for line in render(items, headers=False)] == [
        "check  (probe)",
        "sleep 9  (exec)",
        "daemon  (orphan)",
        "[gone]  (orphan, zombie)",
    ]


def test_a_process_cannot_write_to_the_terminal() -> None:
    shown = "\n".join(render([process(1, 1, 0, "c\x1b[2J", "a\x1b]0;t\x07", "b\nc", user="r\u202e")]))
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "b\\nc" in shown


def test_a_circle_of_parents_is_still_shown() -> None:
    items = [process(1, 1, 2, "c", "a"), process(2, 2, 1, "c", "b")]
    assert len(render(items, headers=False)) == 2


def test_units() -> None:
    assert [size(n) for n in (0, 8192, 1536, 12_900_000, 3 << 30)] == ["0", "8K", "1.5K", "12M", "3G"]
    assert [cpu(s) for s in (0.123, 61.5, 3723.0)] == ["0:00.12", "1:01.50", "1:02:03.00"]
