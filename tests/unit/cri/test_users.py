from __future__ import annotations

import pytest

from polong.cri import users
from polong.cri.users import Account, Group, Identity
from polong.criapi.wire import v1
from polong.kit.errors import Invalid

ACCOUNTS = [
    Account("root", 0, 0, "/root"),
    Account("nginx", 101, 102, "/var/cache/nginx"),
    Account("2147483648", 0, 0, "/root"),
    Account("+0", 0, 0, "/"),
]
GROUPS = [Group("root", 0, ()), Group("nginx", 102, ()), Group("extra", 500, ("nginx",)), Group("wheel", 600, ("root", "nginx"))]


def resolve(user: str, **security: object) -> Identity:
    return users.resolve(user, v1.LinuxContainerSecurityContext(**security), ACCOUNTS, GROUPS)


def value(number: int) -> v1.Int64Value:
    return v1.Int64Value(value=number)


def test_nothing_said_is_root_with_its_groups_and_home() -> None:
    assert resolve("") == Identity(0, 0, (0, 600), "/root")


def test_a_name_brings_its_group_memberships_and_home() -> None:
    assert resolve("nginx") == Identity(101, 102, (102, 500, 600), "/var/cache/nginx")


def test_a_number_is_the_account_of_that_number() -> None:
    assert resolve("101") == resolve("nginx")


def test_a_number_without_account_has_group_zero_and_no_home() -> None:
    assert resolve("4321") == Identity(4321, 0, (0,), "/")


def test_user_and_group_of_the_image() -> None:
    assert resolve("nginx:extra").gid == 500
    assert resolve("7:8") == Identity(7, 8, (8,), "/")


def test_run_as_user_replaces_the_images_user_and_group() -> None:
    found = resolve("nginx:extra", run_as_user=value(1000))
    assert (found.uid, found.gid) == (1000, 0)


def test_run_as_group_and_supplemental_groups() -> None:
    found = resolve("", run_as_user=value(1000), run_as_group=value(2000), supplemental_groups=[3000, 2000])
    assert found == Identity(1000, 2000, (2000, 3000), "/")


def test_strict_policy_leaves_the_images_groups_out() -> None:
    found = resolve("nginx", supplemental_groups=[9], supplemental_groups_policy=v1.Strict)
    assert found.groups == (102, 9)


def test_a_group_without_a_user_is_an_error() -> None:
    with pytest.raises(Invalid, match="without a user"):
        resolve("", run_as_group=value(5))


@pytest.mark.parametrize(
    "text", ["2147483648", "4294967296", "-1", "+0", " 0", "1_0", "٠", "0x0", "1e3", "99999999999999999999999999", "a b", "root\n", "1:-1"]
)
def test_what_only_looks_like_a_number_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        resolve(text)


def test_all_digits_are_never_a_name() -> None:
    assert resolve("01000").uid == 1000
    with pytest.raises(Invalid, match="out of range"):
        resolve("2147483648")


def test_out_of_range_in_the_security_context() -> None:
    for field in ("run_as_user", "run_as_group"):
        with pytest.raises(Invalid, match="out of range"):
            resolve("root", **{"run_as_user": value(1), field: value(2**31)})
    with pytest.raises(Invalid, match="out of range"):
        resolve("", supplemental_groups=[-1])


def test_unknown_names() -> None:
    with pytest.raises(Invalid, match="unable to find user nobody-here"):
        resolve("nobody-here")
    with pytest.raises(Invalid, match="unable to find group staff"):
        resolve("root:staff")


def test_parsing_skips_what_is_not_a_line_of_its_file() -> None:
    text = "root:x:0:0:root:/root:/bin/sh\nbroken\nbad:x:-1:0::/:/\nbig:x:4294967296:0::/:/\n:x:5:5::/:/\nnginx:x:101:101::/c:/sbin/nologin"
    assert [each.name for each in users.parse_passwd(text)] == ["root", "nginx"]
    assert users.parse_group("a:x:1:b,c\nbad:x:y:\n") == [Group("a", 1, ("b", "c"))]


def test_too_many_lines_are_refused() -> None:
    with pytest.raises(Invalid, match="more than"):
        users.parse_passwd("\n" * 20_000)


def test_a_home_that_would_be_more_than_one_line_is_not_used() -> None:
    found = users.resolve("1", v1.LinuxContainerSecurityContext(), [Account("x", 1, 1, "/h\nLD_PRELOAD=/x")], [])
    assert found.home == "/"
