"""The kernel's rules, one by one; that they are the kernel's is for tests/e2e/test_access.py to show."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from polong.objects.access import ACTIONS, Kernel, Process, decide, started
from polong.objects.access_changes import Container, _as, described, smallest

NONE: frozenset[str] = frozenset()
DEFAULT = frozenset({"CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID"})


def user(uid: int, *capabilities: str, gid: int | None = None) -> Process:
    return started(uid, uid if gid is None else gid, frozenset(capabilities))


def rule(action: str, caller: Process, target: Process, kernel: Kernel | None = None) -> tuple[bool, str]:
    found = decide(action, caller, target, kernel or Kernel())
    return found.allowed, found.rule


@pytest.mark.parametrize(
    ("action", "caller", "target", "expected"),
    [
        ("see", user(1), user(2), (True, "pid-namespace")),
        ("signal", user(1), user(1), (True, "uid")),
        ("signal", user(1), user(2), (False, "uid")),
        ("signal", user(0, "KILL"), user(2), (True, "CAP_KILL")),
        ("signal", user(1, "KILL"), user(2), (False, "uid")),
        ("signal", user(1), replace(user(2), uids=(2, 2, 1, 2)), (True, "uid")),
        ("signal", user(1), replace(user(2), uids=(2, 1, 2, 1)), (False, "uid")),
        ("root", user(1), user(1), (True, "uid")),
        ("root", user(1, gid=5), user(1), (False, "gid")),
        ("root", user(1), replace(user(1), uids=(1, 1, 0, 1)), (False, "uid")),
        ("root", user(1), replace(user(1), dumpable=False), (False, "dumpable")),
        ("root", user(0, "SYS_PTRACE"), replace(user(1), dumpable=False), (True, "CAP_SYS_PTRACE")),
        ("root", user(0), user(0, "CHOWN"), (False, "capabilities")),
        ("root", user(0, "CHOWN", "KILL"), user(0, "CHOWN"), (True, "uid")),
        ("environ", user(0, "SYS_PTRACE"), user(1), (False, "CAP_DAC_READ_SEARCH")),
        ("environ", user(0, "SYS_PTRACE", "DAC_OVERRIDE"), user(1), (True, "CAP_SYS_PTRACE")),
        ("environ", user(1), replace(user(1), dumpable=False), (False, "CAP_DAC_READ_SEARCH")),
        ("ptrace", user(1), user(1), (True, "uid")),
        ("ptrace", replace(user(1), refused_calls=frozenset({"ptrace"})), user(1), (False, "seccomp")),
        ("signal", replace(user(1), refused_calls=frozenset({"kill"})), user(1), (False, "seccomp")),
        ("see", replace(user(1), hidepid=2), user(2), (False, "hidepid")),
        ("see", replace(user(1), hidepid=2), user(1), (True, "pid-namespace")),
    ],
)
def test_a_rule_decides(action: str, caller: Process, target: Process, expected: tuple[bool, str]) -> None:
    assert rule(action, caller, target) == expected


PROFILES = Kernel(closed_profiles=frozenset({"closed"}))


@pytest.mark.parametrize(
    ("action", "caller", "target", "expected"),
    [
        ("see", "closed", "", (True, "pid-namespace")),
        ("signal", "closed", "closed", (True, "uid")),
        ("signal", "closed", "", (False, "apparmor")),
        ("signal", "", "closed", (True, "uid")),
        ("ptrace", "closed", "other", (False, "apparmor")),
        ("root", "closed", "", (False, "apparmor")),
        ("environ", "other", "", (True, "uid")),
    ],
)
def test_a_closed_profile_keeps_to_its_like(action: str, caller: str, target: str, expected: tuple[bool, str]) -> None:
    assert rule(action, replace(user(1), lsm=caller, pid=1), replace(user(1), lsm=target, pid=2), PROFILES) == expected


def test_unix_permissions_are_told_before_the_profile() -> None:
    assert rule("signal", replace(user(1), lsm="closed"), user(2), PROFILES) == (False, "uid")


def test_the_way_out_of_a_profile_is_to_leave_it() -> None:
    lines = smallest("ptrace", CALLER, replace(user(1), lsm="closed"), user(1), PROFILES)
    assert lines == [f"{CALLER.path}.securityContext.appArmorProfile: {{type: Unconfined}}"]


@pytest.mark.parametrize(("scope", "plain", "capable"), [(0, True, True), (1, False, True), (2, False, True), (3, False, False)])
def test_yama_narrows_attaching_alone(scope: int, plain: bool, capable: bool) -> None:
    kernel = Kernel(yama=scope)
    assert decide("ptrace", user(1), user(1), kernel).allowed is plain
    assert decide("ptrace", user(0, "SYS_PTRACE"), user(1), kernel).allowed is capable
    assert decide("root", user(1), user(1), kernel).allowed


def test_another_pid_namespace_is_the_end_of_it() -> None:
    apart = replace(user(0, "KILL", "SYS_PTRACE"), pid_namespaces=("own",))
    assert {rule(action, apart, user(1)) for action in ACTIONS} == {(False, "pid-namespace")}
    around = replace(user(1), pid_namespaces=("own", "node"))
    assert decide("see", replace(user(1), pid_namespaces=("node",)), around).allowed


def test_capabilities_do_not_reach_out_of_their_user_namespace() -> None:
    caller = replace(user(0, "SYS_PTRACE", "KILL"), user_namespace="inner", holds_all_namespaces=False)
    assert rule("root", caller, user(1)) == (False, "uid")
    assert rule("signal", caller, user(1)) == (False, "uid")
    assert rule("root", caller, user(0)) == (False, "user-namespace")


def test_perfmon_reads_where_the_kernel_is_new_enough() -> None:
    caller = user(0, "SYS_ADMIN", "DAC_OVERRIDE")
    assert not decide("environ", caller, user(1)).allowed
    assert rule("environ", caller, user(1), Kernel(perfmon_reads_memory=True)) == (True, "CAP_SYS_ADMIN")
    assert not decide("root", caller, user(1), Kernel(perfmon_reads_memory=True)).allowed


def test_setuid_is_a_way_in() -> None:
    found = decide("environ", started(0, 0, DEFAULT), user(1000))
    assert not found.allowed
    assert "CAP_SETUID" in found.indirect
    assert not decide("root", started(0, 0, DEFAULT), replace(user(1000), dumpable=False)).possible


CALLER = Container("containers[a]", group=1000)

PEOPLE = [started(uid, gid, caps) for uid, gid in ((0, 0), (1000, 1000), (1000, 7), (1001, 1001)) for caps in (NONE, DEFAULT)]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_change_turns_the_verdict_over(action: str) -> None:
    """Of every pair: the lines are a real change, and carrying them out does what they promise."""
    for caller, target in product(PEOPLE, PEOPLE):
        lines = smallest(action, CALLER, caller, target)
        assert lines, (action, caller, target)
        before = decide(action, caller, target)
        if lines == ["shareProcessNamespace: false"]:
            assert before.possible
            continue
        changed = _carried_out(caller, lines)
        after = decide(action, changed, target)
        assert after.possible is not before.possible, (lines, caller, target)


def _carried_out(process: Process, lines: list[str]) -> Process:
    uid, gid, bounding = process.uids[0], process.gids[0], set(process.bounding)
    for line in lines:
        field, _, value = line.removeprefix("containers[a].securityContext.").partition(": ")
        names = set(value.strip("[]").split(", "))
        match field:
            case "capabilities.add":
                bounding |= names
            case "capabilities.drop":
                bounding = set() if names == {"ALL"} else bounding - names
            case "runAsUser":
                uid = int(value)
                gid = 1000
            case "runAsGroup":
                gid = int(value)
            case _:
                pytest.fail(line)
    return _as(process, uid, gid, frozenset(bounding))


def test_sharing_is_the_first_change_for_the_isolated() -> None:
    one, two = (replace(user(uid), pid_namespaces=(name,)) for uid, name in ((0, "a"), (1, "b")))
    assert smallest("see", CALLER, one, two) == ["shareProcessNamespace: true"]
    assert smallest("root", CALLER, one, two) == [
        "shareProcessNamespace: true",
        "containers[a].securityContext.capabilities.add: [SYS_PTRACE]",
    ]


def test_no_change_of_the_pod_moves_yama() -> None:
    assert smallest("ptrace", CALLER, user(1), user(1), Kernel(yama=3)) == []


def test_what_the_pod_says_already_is_part_of_the_change() -> None:
    pod = {
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsGroup": 5},
            "containers": [{"name": "c", "securityContext": {"privileged": True, "capabilities": {"add": ["CAP_NET_ADMIN", "KILL"]}}}],
            "initContainers": [{"name": "i", "restartPolicy": "Always", "securityContext": {"runAsGroup": 7, "runAsNonRoot": False}}],
        }
    }
    assert described(pod, "i") == Container("initContainers[i]", group=7)
    own = described(pod, "c")
    assert own == Container("containers[c]", 5, True, True, ("NET_ADMIN", "KILL"))
    everything = DEFAULT | {"SYS_PTRACE", "NET_ADMIN"}
    assert smallest("ptrace", own, started(0, 5, everything), user(1000))[:1] == ["containers[c].securityContext.privileged: false"]
    plain = replace(own, privileged=False)
    field = "containers[c].securityContext"
    assert smallest("signal", plain, started(0, 5, frozenset({"KILL", "NET_ADMIN"})), user(1000)) == [
        f"{field}.capabilities.add: [NET_ADMIN]",
        f"{field}.capabilities.drop: [KILL]",
    ]
    assert smallest("signal", plain, user(1), user(0)) == [f"{field}.runAsNonRoot: false", f"{field}.runAsUser: 0"]
    assert smallest("ptrace", plain, started(0, 5, NONE), user(1)) == [f"{field}.capabilities.add: [NET_ADMIN, KILL, SYS_PTRACE]"]
    gone = [f"{field}.capabilities.add: [NET_ADMIN]"]
    assert smallest("root", replace(plain, added=("NET_ADMIN", "SYS_PTRACE")), started(0, 5, frozenset({"SYS_PTRACE"})), user(1)) == gone


def test_the_group_of_a_user_without_one_is_the_images_to_say() -> None:
    free = Container("containers[a]")
    assert smallest("root", free, user(1), user(0)) == ["containers[a].securityContext.runAsUser: 0"]
    assert smallest("root", free, user(1), user(2)) == [
        "containers[a].securityContext.runAsUser: 2",
        "containers[a].securityContext.runAsGroup: 2",
    ]


def test_a_filter_of_the_pods_own_gives_way() -> None:
    caller = replace(user(1), refused_calls=frozenset({"ptrace"}))
    free = Container("containers[a]")
    assert smallest("ptrace", free, caller, user(1)) == ["containers[a].securityContext.seccompProfile: {type: RuntimeDefault}"]
    assert smallest("ptrace", free, replace(user(0), refused_calls=frozenset({"ptrace"})), user(1)) == [
        "containers[a].securityContext.seccompProfile: {type: RuntimeDefault}",
        "containers[a].securityContext.capabilities.add: [SYS_PTRACE]",
    ]
