"""The pure parts of tools/: what the demo reads from a terminal, what the benchmark makes of its figures."""

from __future__ import annotations

import re

import pytest
from tests.repo.checkout import ROOT
from tools.bench import report
from tools.demo.node import Failed
from tools.demo.page import Process, expect_the_five, processes
from tools.terminal import Terminal, Timeout, plain

WITHOUT_TIME = """PID   USER     COMMAND
    1 root     /pause
    7 root     nginx: master process nginx -g daemon off;
   12 101      nginx: worker process
   20 root     sh
   31 root     ps ax
/ # """

WITH_TIME = WITHOUT_TIME.replace("root     ", "root      0:00 ").replace("101      ", "101       0:00 ").replace("COMMAND", "TIME  COMMAND")


@pytest.mark.parametrize("text", [WITHOUT_TIME, WITH_TIME], ids=["debian", "upstream"])
def test_both_forms_of_busybox_ps_are_read(text: str) -> None:
    found = processes(text)
    assert [each.pid for each in found] == [1, 7, 12, 20, 31]
    assert found[1] == Process(7, "root", "nginx: master process nginx -g daemon off;")


def test_the_five_and_no_other() -> None:
    found = processes(WITHOUT_TIME)
    master, worker = expect_the_five(found)
    assert (master.pid, worker.pid) == (7, 12)
    for missing in found:
        with pytest.raises(Failed, match="is not among"):
            expect_the_five([each for each in found if each != missing])
    with pytest.raises(Failed, match="does not know"):
        expect_the_five([*found, Process(40, "root", "sleep 5")])


def test_pause_must_be_pid_1() -> None:
    found = [Process(2, each.user, each.command) if each.pid == 1 else each for each in processes(WITHOUT_TIME)]
    with pytest.raises(Failed, match="not PID 1"):
        expect_the_five(found)


def test_control_sequences_are_taken_out() -> None:
    assert plain("\x1b[6n/ # \x1b[1;32mls\x1b[0m\r\n\x1b]0;title\x07a") == "/ # ls\na"


def test_a_terminal_is_real_and_ends() -> None:
    with Terminal(["sh", "-c", 'test -t 0 && test -t 1 && stty size && read word && echo "got $word"; exit 4'], size=(90, 30)) as terminal:
        terminal.expect(r"^30 90$")
        terminal.line("this")
        terminal.expect("got this")
        assert terminal.wait() == 4


def test_what_does_not_come_is_a_failure() -> None:
    with Terminal(["sh", "-c", "echo one; sleep 60"]) as terminal, pytest.raises(Timeout, match="two"):
        terminal.expect("two", timeout=0.3)


def test_the_table_has_a_ratio_for_each_peer() -> None:
    samples = {
        "polong": {"start": [0.05, 0.06, 0.07], "daemon_pss": [60e6]},
        "podman": {"start": [0.3, 0.3, 9.0], "daemon_pss": [0]},
        "containerd": {},
    }
    head, _, start, memory = report.table(samples).splitlines()
    assert head == "|  | Polong, API | podman, command line | podman ÷ Polong |"
    assert start == "| Pod: create until both containers run | 60 ms | 300 ms | 5.0 |"
    assert memory == "| idle daemon, PSS | 60.0 MB | none | – |"


def test_the_readme_takes_the_figures_between_its_marks() -> None:
    text = f"a\n{report.BEGIN}\nold\n{report.END}\nb\n"
    assert report.insert(text, "new") == f"a\n{report.BEGIN}\nnew\n{report.END}\nb\n"
    with pytest.raises(ValueError, match="marks"):
        report.insert("a", "new")


def test_the_readme_has_dated_figures() -> None:
    text = (ROOT / "README.md").read_text()
    figures = text.partition(report.BEGIN)[2].partition(report.END)[0]
    assert re.search(r"\d{4}-\d\d-\d\d", figures)
    assert report.ROWS["start"] in figures
