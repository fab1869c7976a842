"""`tree`: processes under their containers."""

from polong.cli.tree import lines

from .conftest import Api, Run
from .test_ps_tree import PAGE


def test_the_page() -> None:
    assert list(lines({"metadata": {"name": "web", "namespace": "default"}, "items": PAGE})) == [
        "default/web  4 processes, CPU 0:00.00, RSS 32K",
        "├─ the pod itself",
        "│  1 /pause",
        "├─ nginx  2 processes, CPU 0:00.00, RSS 16K",
        "│  7 nginx: master process nginx -g daemon off;",
        "│  └─ 30 nginx: worker process",
        "└─ shell  1 process, CPU 0:00.00, RSS 8K",
        "   13 sh",
    ]


def test_zombies_are_counted() -> None:
    items = [*PAGE[1:2], {**PAGE[2], "zombie": True, "command": []}]
    assert "2 processes, 1 zombie," in next(lines({"metadata": {}, "items": items}))


def test_tree(api: Api, polong: Run) -> None:
    api.pod()
    api.node.processes_of = PAGE
    assert "└─ shell" in polong("tree", "nginx").out
    assert "[host PID 103, nginx, S, RSS 8K]" in polong("tree", "nginx", "-o", "wide").out
