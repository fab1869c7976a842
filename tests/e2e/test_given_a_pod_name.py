"""docs/processes.md, "Given only the name of a Pod": the four questions, answered by the words that stand there."""

from __future__ import annotations

from tests.e2e.cluster import Client, busybox, eventually, nginx, pod

LEAKS = "sh -c 'sleep 0.1 & exec sleep 100000' & exec sleep 100001"


def test_the_four_questions(polong: Client) -> None:
    secret = [{"name": "API_TOKEN", "value": "hunter2"}]
    other = busybox("other", "sleep 100000", securityContext={"runAsUser": 1000, "runAsGroup": 1000})
    tracer = busybox("tracer", "sleep 100000", securityContext={"capabilities": {"add": ["SYS_PTRACE"]}})
    polong.apply(pod("asked", nginx(env=secret), busybox("leaks", LEAKS), other, tracer, shareProcessNamespace=True))
    try:
        polong.ready("asked")

        def leaking() -> list[str]:
            return [line for line in polong("tree", "asked").splitlines() if "1 zombie" in line and "processes" in line]

        assert any(line.lstrip("├└─ ").startswith("leaks ") for line in eventually(lambda: len(leaking()) == 2 and leaking(), "the zombie"))

        readers = [line for line in polong("audit", "asked").splitlines() if "API_TOKEN" in line]
        assert readers[0].split()[-1] == "leaks,tracer"  # both are root as nginx is
        assert "hunter2" not in polong("audit", "asked")

        why = polong("access", "asked", "--from", "other", "--to", "nginx")
        assert "trace it: no, uid 1000 is not the target's uid 0, and it lacks CAP_SYS_PTRACE [uid]" in why
        assert "to allow it: containers[other].securityContext.runAsUser: 0" in why
        assert "all came out as computed" in polong("access", "asked", "--from", "other", "--to", "nginx", "--verify")

        def workers() -> set[int]:
            return {each["pid"] for each in polong.json("ps", "asked")["items"] if "worker" in " ".join(each["command"])}

        before = workers()
        assert polong("signal", "asked", "-c", "nginx", "HUP").startswith("SIGHUP sent to PID")
        eventually(lambda: workers() and not workers() & before, "another worker")
    finally:
        polong.delete("asked")
