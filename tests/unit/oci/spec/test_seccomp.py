"""Profiles: filtered by architecture and capabilities, tightened, never with foreign keys."""

import json
from pathlib import Path

import pytest

from polong.kit.errors import Invalid
from polong.oci.spec import capabilities, seccomp

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "listenerPath": "/evil",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_AARCH64"}],
    "syscalls": [
        {"names": ["read", "mount", "clone", "io_uring_setup"], "action": "SCMP_ACT_ALLOW", "args": []},
        {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"name": "socket", "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_NE"}]},
    ],
}


def allowed(section) -> set[str]:
    return {name for rule in section["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


def test_unconfined_stays_so_and_garbage_is_refused():
    assert seccomp.section(None, architecture="x86_64", capabilities=frozenset()) is None
    for bad in ({}, {"defaultAction": 1}, {"defaultAction": "x", "syscalls": {}}, {"defaultAction": "x", "syscalls": ["y"]}):
        with pytest.raises(Invalid):
            seccomp.section(bad, architecture="x86_64", capabilities=frozenset())


def test_filtering():
    plain = seccomp.section(PROFILE, architecture="x86_64", capabilities=frozenset())
    assert plain is not None
    assert plain["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert set(plain) == {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"}
    assert "bpf" not in allowed(plain)
    assert "arch_prctl" in allowed(plain)
    assert all(set(rule) <= {"names", "action", "errnoRet", "args"} for rule in plain["syscalls"])
    assert {"index": 0, "value": 16, "valueTwo": 0, "op": "SCMP_CMP_NE"} in plain["syscalls"][-1]["args"]
    admin = seccomp.section(PROFILE, architecture="aarch64", capabilities=frozenset({"CAP_SYS_ADMIN"}))
    assert admin is not None
    assert "bpf" in allowed(admin)
    assert "arch_prctl" not in allowed(admin)
    assert admin["architectures"] == ["SCMP_ARCH_AARCH64"]


def test_runtime_default_is_tighter_than_the_distributions():
    tight = seccomp.section(seccomp.runtime_default(PROFILE), architecture="x86_64", capabilities=capabilities.DEFAULT)
    assert tight is not None
    assert "read" in allowed(tight)
    assert not {"mount", "unshare", "io_uring_setup", "clone3"} & allowed(tight)
    clone = [rule for rule in tight["syscalls"] if rule["names"] == ["clone"]]
    assert [rule["args"][0]["op"] for rule in clone] == ["SCMP_CMP_MASKED_EQ"]
    admin = seccomp.section(seccomp.runtime_default(PROFILE), architecture="x86_64", capabilities=frozenset({"CAP_SYS_ADMIN"}))
    assert admin is not None
    assert {"mount", "unshare", "clone", "clone3"} <= allowed(admin)
    assert "io_uring_setup" not in allowed(admin)


def test_the_real_profile():
    path = Path("/usr/share/containers/seccomp.json")
    if not path.exists():
        pytest.skip("no containers-common profile here")
    section = seccomp.section(
        seccomp.runtime_default(json.loads(path.read_text())), architecture="x86_64", capabilities=capabilities.DEFAULT
    )
    assert section is not None
    assert {"read", "execve", "ptrace"} <= allowed(section)
    assert not {"mount", "umount2", "unshare", "setns", "bpf", "userfaultfd", "keyctl", "kexec_load"} & allowed(section)
