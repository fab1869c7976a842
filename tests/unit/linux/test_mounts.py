"""Mount plans as values; executing them needs root (tests/integration/linux)."""

import pytest

from polong.linux import mounts
from polong.linux.mounts import Bind, Overlay, Tmpfs


def test_a_plan_can_be_read():
    plan = [Tmpfs("/a", size=4096), Bind("/b", "/c", readonly=True), Overlay(("/l1", "/l2"), "/u", "/w", "/m")]
    assert [step.describe() for step in plan] == ["tmpfs on /a of 4096 bytes", "bind /b on /c read-only", "overlay of 2 layers on /m"]


@pytest.mark.parametrize("path", ["/a:b", "/a,b", "/a\\b"])
def test_overlay_refuses_paths_that_would_become_options(path):
    with pytest.raises(ValueError, match="overlayfs cannot take"):
        Overlay((path,), "/u", "/w", "/m").execute()


class _Step:
    def __init__(self, log: list[str], name: str, *, fails: bool = False) -> None:
        self._log, self._name, self._fails = log, name, fails

    def describe(self) -> str:
        return self._name

    def execute(self) -> None:
        if self._fails:
            raise OSError("no")
        self._log.append(self._name)


def test_a_failing_step_stops_the_plan():
    log: list[str] = []
    with pytest.raises(OSError, match="no"):
        mounts.execute([_Step(log, "a"), _Step(log, "b", fails=True), _Step(log, "c")])
    assert log == ["a"]
