"""What `attempt` is asked, what it answers, and how that stands beside what was computed (its own work: e2e/test_access_verify)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import Unavailable
from polong.kubelet.host import attempts
from polong.kubelet.host.access import Member, Subject
from polong.kubelet.host.attempts import Findings
from polong.kubelet.host.processes import Group
from polong.linux.idmaps import IdMap
from polong.objects.access import ACTIONS, Process

Json = dict[str, Any]


def subject(pid: int, uid: int = 0, started: int = 0, groups: tuple[int, ...] = ()) -> Subject:
    process = Process((uid,) * 4, (uid,) * 4, groups, frozenset({"KILL", "BPF"}), frozenset({"KILL"}), pid=pid)
    return Subject("one", 1, ("x",), process, started)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "7").mkdir()
    for name in ("uid_map", "gid_map"):
        (tmp_path / "7" / name).write_text("         0     100000      65536\n")
    return tmp_path


def test_ids_are_told_as_the_user_namespace_has_them(root: Path) -> None:
    found = attempts.arguments(subject(7, 100_033, groups=(100_033, 100_100)), [subject(8, 100_000), subject(9, 5)], root)
    assert found == ["33,33,33", "33,33,33", "33,100", "20,80", "20,0", "0:0", "-"]


def test_ids_of_no_such_namespace_and_callers_that_have_gone_are_not_tried(root: Path) -> None:
    assert attempts.arguments(subject(7, 5), [], root) is None
    assert attempts.arguments(subject(99), [], root) is None


def test_a_map_may_have_several_ranges() -> None:
    found = IdMap(((0, 1000, 1), (1, 200_000, 10)))
    assert [found.inside(each) for each in (1000, 1001, 200_000, 200_009, 200_010)] == [0, None, 1, 10, None]


def test_an_answer_is_read_letter_by_letter() -> None:
    found = attempts.parse("12 11010? -\n0 000000 -\n-1 ?????? -\n8 100000 111111\n", 4)
    assert found is not None
    assert found[0].direct == dict(zip(ACTIONS, (True, True, False, True, False, None), strict=True))
    assert found[1].direct == dict.fromkeys(ACTIONS, False)
    assert found[2].ended
    assert all(found[3].indirect.values())


@pytest.mark.parametrize("text", ["", "12 110101 -\n12 110101 -\n", "12 1101 -\n", "12 11010x -\n", "one two\n", "\x00"])
def test_what_is_no_answer_is_none(text: str) -> None:
    assert attempts.parse(text, 1) is None


def item(pid: int = 8, *, allowed: bool = True, indirect: str = "") -> Json:
    verdict = {"allowed": allowed, "rule": "uid", "reason": "", "indirect": indirect}
    return {"from": "one", "to": "two", "process": {"pid": 2, "hostPID": pid}, "verdicts": {each: dict(verdict) for each in ACTIONS}}


def test_what_differs_is_named_and_what_was_not_tried_is_not_counted() -> None:
    first, second = item(), item(allowed=False, indirect="by setuid")
    attempts.compare(first, Findings({**dict.fromkeys(ACTIONS, True), "signal": False, "ptrace": None}))
    attempts.compare(second, Findings(dict.fromkeys(ACTIONS, False), {**dict.fromkeys(ACTIONS, True), "root": False}))
    found = attempts.summary([first, second])
    assert (found["tried"], found["equal"]) == (5 + 12, 5 + 12 - 2)
    where = {"from": "one", "to": "two", "pid": 2}
    assert found["different"] == [
        {**where, "action": "signal", "computed": True, "tried": False},
        {**where, "action": "root (as the target's user)", "computed": True, "tried": False},
    ]


class Programs:
    def __init__(self, answer: v1.ExecSyncResponse | Exception) -> None:
        self.answer = answer

    async def exec_program(self, request: v1.ExecSyncRequest, program: str, handles: Any = ()) -> v1.ExecSyncResponse:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (Unavailable("the container is going"), "the container is going"),
        (v1.ExecSyncResponse(exit_code=3, stderr=b"the credentials cannot be taken\n"), "the credentials cannot be taken"),
        (v1.ExecSyncResponse(exit_code=137), "exit code 137"),
        (v1.ExecSyncResponse(stdout=b"nonsense"), "exit code 0"),
    ],
)
async def test_what_could_not_be_tried_is_said(root: Path, answer: v1.ExecSyncResponse | Exception, note: str) -> None:
    trial = (Member(Group("one", "1", "", 7)), subject(7, 100_000), [])
    its = [item()]
    said = await attempts.attempt(trial, its, Programs(answer), root)
    assert said.startswith("container one: nothing was tried: ")
    assert said.endswith(note)
    assert {verdict["tried"] for verdict in its[0]["verdicts"].values()} == {None}
