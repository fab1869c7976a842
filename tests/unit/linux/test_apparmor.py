from __future__ import annotations

from pathlib import Path

import pytest

from polong.linux import apparmor


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(("text", "expected"), [("Y\n", True), ("N\n", False), ("", False)])
def test_the_kernel_says_whether_it_mediates(tmp_path: Path, text: str, expected: bool) -> None:
    write(tmp_path / "module/apparmor/parameters/enabled", text)
    assert apparmor.enabled(tmp_path) is expected


def test_a_kernel_without_it_has_no_such_file(tmp_path: Path) -> None:
    assert apparmor.enabled(tmp_path) is False


def test_loaded_profiles_have_modes_and_may_have_blanks_in_their_names(tmp_path: Path) -> None:
    write(tmp_path / "kernel/security/apparmor/profiles", "polong-default (enforce)\n/usr/bin/man (x) (complain)\n")
    assert apparmor.loaded(tmp_path) == {"polong-default": "enforce", "/usr/bin/man (x)": "complain"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("polong-default (enforce)\n", "polong-default"),
        ("unconfined\n", ""),
        ("system_u:system_r:container_t:s0\0", "system_u:system_r:container_t:s0"),
        ("", ""),
    ],
)
def test_a_process_has_a_label_or_none(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path / "7/attr/current", text)
    assert apparmor.label(7, tmp_path) == expected


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    assert apparmor.label(7, tmp_path) == ""
