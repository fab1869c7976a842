from __future__ import annotations

import pytest

from polong.kit.errors import Invalid, Unsupported
from polong.linux import seccomp

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


def section(*rules: dict, **more: object) -> dict:
    return {"defaultAction": ERRNO, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules), **more}


def test_a_program_is_whole_instructions_and_grows_with_its_rules() -> None:
    small = seccomp.compile_filter(section({"names": ["read"], "action": ALLOW}))
    large = seccomp.compile_filter(section({"names": ["read", "write", "close"], "action": ALLOW}))
    assert len(small) % 8 == 0
    assert len(large) > len(small) > 0


def test_unknown_calls_fall_to_the_default_action() -> None:
    known = section({"names": ["read"], "action": ALLOW})
    more = section({"names": ["read", "not_a_call_of_this_world"], "action": ALLOW})
    assert seccomp.compile_filter(known) == seccomp.compile_filter(more)


def test_conditions_and_error_numbers_are_in_the_program() -> None:
    plain = seccomp.compile_filter(section({"names": ["clone"], "action": ALLOW}))
    masked = {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0x7E020000, "valueTwo": 0}
    assert seccomp.compile_filter(section({"names": ["clone"], "action": ALLOW, "args": [masked]})) != plain
    assert seccomp.compile_filter(section(defaultErrnoRet=38)) != seccomp.compile_filter(section())


def test_what_cannot_be_compiled_is_said() -> None:
    with pytest.raises(Unsupported, match="SCMP_ACT_NOTIFY"):
        seccomp.compile_filter(section({"names": ["read"], "action": "SCMP_ACT_NOTIFY"}))
    with pytest.raises(Invalid, match="architecture"):
        seccomp.compile_filter(section(architectures=["SCMP_ARCH_PDP11"]))
