from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from polong.cri import seccomp
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Invalid
from polong.linux import seccomp as filters

DEFAULT = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
Profile = v1.SecurityProfile


def chosen(kind: int, reference: str = "", *, privileged: bool = False) -> object:
    profile = Profile(profile_type=kind, localhost_ref=reference)
    return seccomp.chosen(v1.LinuxContainerSecurityContext(seccomp=profile, privileged=privileged), runtime_default=DEFAULT)


def test_an_empty_profile_is_runtime_default() -> None:
    found = seccomp.chosen(v1.LinuxContainerSecurityContext(seccomp=Profile()), runtime_default=DEFAULT)
    assert isinstance(found, dict)
    assert found["defaultAction"] == "SCMP_ACT_ERRNO"


def test_no_profile_at_all_is_unconfined_as_critest_has_it() -> None:
    assert seccomp.chosen(v1.LinuxContainerSecurityContext(), runtime_default=DEFAULT) is None


def test_unconfined_only_where_it_was_asked_for_or_privileged() -> None:
    assert chosen(Profile.Unconfined) is None
    assert chosen(Profile.RuntimeDefault, privileged=True) is None


def test_a_localhost_profile_is_read(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    assert chosen(Profile.Localhost, str(file)) == {"defaultAction": "SCMP_ACT_LOG"}


def test_a_localhost_profile_that_cannot_be_had_is_never_unconfined(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "big.json").write_text(" " * (2 << 20))
    os.mkfifo(tmp_path / "fifo")
    names = ["missing.json", "bad.json", "list.json", "deep.json", "big.json", "fifo", ""]
    for reference in ["", "relative.json", f"{tmp_path}/../x", "/a\0b", *(str(tmp_path / name) for name in names)]:
        with pytest.raises(Invalid) as error:
            chosen(Profile.Localhost, reference)
        assert error.value.reason == "CreateContainerError"


def test_pause_gets_a_small_part_of_runtime_default() -> None:
    found = seccomp.pause({**DEFAULT, "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]})
    (rule,) = found["syscalls"]
    assert found["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {"wait4", "exit_group", "execve", "rt_sigreturn"} <= set(rule["names"])
    assert not {"ptrace", "mount", "unshare", "setns", "bpf", "open_by_handle_at", "socket", "connect"} & set(rule["names"])
    assert found["archMap"][0]["architecture"] == "SCMP_ARCH_X86_64"


def test_without_a_default_profile_nothing_runs_unconfined() -> None:
    for make in (seccomp.default, seccomp.pause):
        with pytest.raises(FailedPrecondition, match="seccomp"):
            make(None)


def test_crun_gets_the_filter_compiled_and_the_section_stays() -> None:
    section = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": [], "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
    config = {"linux": {"seccomp": section}}
    seccomp.annotate(config)
    (name,) = config["annotations"]
    assert name == "run.oci.seccomp_bpf_data"
    assert base64.b64decode(config["annotations"][name]) == filters.compile_filter(section)
    assert config["linux"]["seccomp"] == section


def test_what_is_unconfined_or_cannot_be_compiled_here_is_left_to_the_runtime() -> None:
    for linux in ({}, {"seccomp": {"defaultAction": "SCMP_ACT_NOTIFY", "syscalls": []}}):
        config = {"linux": linux}
        seccomp.annotate(config)
        assert "annotations" not in config
