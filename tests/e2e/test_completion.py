"""Tab in a real bash, at a real node; the scripts of all three shells."""

from __future__ import annotations

import os

import pytest
from tests.e2e.cluster import POLONG, Client, busybox, pod
from tools.terminal import Terminal


def test_tab_in_bash(polong: Client) -> None:
    polong.apply(pod("completed", busybox("first", "sleep 1000"), busybox("second", "sleep 1000"), shareProcessNamespace=True))
    env = {**polong.env, "PATH": f"{POLONG.parent}{os.pathsep}{polong.env['PATH']}", "PS1": "now$ ", "INPUTRC": "/dev/null"}
    try:
        polong.ready("completed")
        with Terminal(["bash", "--norc", "--noprofile", "-i"], env=env) as bash:
            bash.until_prompt()
            bash.command("source <(polong completion bash)")
            bash.send("polong tree comp\t")
            bash.expect("polong tree completed ")
            bash.send("-c se\t")
            bash.expect("second ")
            bash.line("")
            assert "sleep 1000" in bash.until_prompt()
            bash.send("polong signal completed --pid \t\t")
            bash.expect(r"1 +2")
            bash.send("\x03")
            bash.until_prompt()
            # Where nothing answers, Tab does nothing, and writes nothing.
            bash.command("export POLONG_ROOT=/nonexistent KUBECONFIG=")
            bash.send("polong ps comp\t\t")
            bash.send(" --none\r")
            assert bash.expect(r"polong ps comp.*\n").group(0).replace("\x07", "") == "polong ps comp --none\n"
            bash.until_prompt()
    finally:
        polong.delete("completed")


@pytest.mark.parametrize(("shell", "answer"), [("bash", "plain,ps"), ("zsh", "plain\nps\n"), ("fish", "plain,ps\t")])
def test_each_shell_has_its_script_and_its_answers(polong: Client, shell: str, answer: str) -> None:
    assert f"_POLONG_COMPLETE={shell}_complete" in polong("completion", shell)
    words = {"COMP_WORDS": "polong ps", "COMP_CWORD": "ps" if shell == "fish" else "1", "_POLONG_COMPLETE": f"{shell}_complete"}
    asked = Client(polong.program, polong.env | words)()
    assert answer in asked, asked
