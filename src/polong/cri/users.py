"""Who a container's process is: CRI's security context over the image's User over the image's passwd and group. Pure.

Strict on purpose: a number is ASCII digits within the kernel's range and is never looked up as a name; a name is a plain word.
Sources: OCI image-spec config ("User"); CVE-2024-40635 and its successors; cri-api SupplementalGroupsPolicy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from polong.criapi.wire import v1
from polong.kit.errors import Invalid

_MOST = 2**31 - 1
_NUMBER = re.compile(r"[0-9]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?", re.ASCII)
_MOST_LINES = 10_000
_MOST_GROUPS = 1_000
_REASON = "CreateContainerConfigError"


@dataclass(frozen=True)
class Account:
    """A line of passwd."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class Group:
    """A line of group."""

    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """What the process gets. `groups` holds the primary group too: a process without it fails tests of its own group's files."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def parse_passwd(text: str) -> list[Account]:
    """The good lines; others are skipped, as every libc does."""
    accounts = []
    for fields in _lines(text, 7):
        uid, gid = _in_range(fields[2]), _in_range(fields[3])
        if uid is not None and gid is not None and fields[0]:
            accounts.append(Account(fields[0], uid, gid, fields[5]))
    return accounts


def parse_group(text: str) -> list[Group]:
    groups = []
    for fields in _lines(text, 4):
        gid = _in_range(fields[2])
        if gid is not None and fields[0]:
            groups.append(Group(fields[0], gid, tuple(member for member in fields[3].split(",") if member)))
    return groups


def _lines(text: str, fields: int) -> Iterable[list[str]]:
    lines = text.split("\n")
    if len(lines) > _MOST_LINES:
        raise Invalid(f"cannot resolve the user: the image's passwd or group has more than {_MOST_LINES} lines", reason=_REASON)
    for line in lines:
        parts = line.split(":")
        if len(parts) == fields:
            yield parts


def _in_range(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) and len(text) <= 10 and int(text) <= _MOST else None


def number(text: str) -> int | None:
    """A user or group number, or None where `text` is not one at all; Invalid where it is out of range."""
    if _NUMBER.fullmatch(text) is None:
        return None
    if len(text) > 20 or int(text) > _MOST:
        raise Invalid(f"user or group {text[:32]} is out of range 0..{_MOST}", reason=_REASON)
    return int(text)


def resolve(image_user: str, security: v1.LinuxContainerSecurityContext, accounts: list[Account], groups: list[Group]) -> Identity:
    """Invalid (reason CreateContainerConfigError) where a user or group cannot be known for certain."""
    user, group = _asked(image_user, security)
    account = _account(user, accounts)
    uid = account.uid if account is not None else _number_or_fail(user or "0", "user")
    gid = _gid(group, account, groups)
    member_of: list[int] = []
    if account is not None and security.supplemental_groups_policy == v1.Merge:
        member_of = [entry.gid for entry in groups if account.name in entry.members]
    everything = dict.fromkeys([gid, *member_of, *(_checked(extra) for extra in security.supplemental_groups)])
    if len(everything) > _MOST_GROUPS:
        raise Invalid(f"cannot resolve the user: more than {_MOST_GROUPS} groups", reason=_REASON)
    return Identity(uid, gid, tuple(everything), _home(account))


def _asked(image_user: str, security: v1.LinuxContainerSecurityContext) -> tuple[str, str]:
    """User and group as text; the security context's user replaces the image's user and group together."""
    user, _, group = image_user.partition(":")
    if security.HasField("run_as_user"):
        user, group = str(_checked(security.run_as_user.value)), ""
    elif security.run_as_username:
        user, group = security.run_as_username, ""
    if security.HasField("run_as_group"):
        if not user:
            raise Invalid(f"group {security.run_as_group.value} is specified without a user", reason=_REASON)
        group = str(_checked(security.run_as_group.value))
    return user, group


def _checked(value: int) -> int:
    if not 0 <= value <= _MOST:
        raise Invalid(f"user or group {value} is out of range 0..{_MOST}", reason=_REASON)
    return value


def _account(user: str, accounts: list[Account]) -> Account | None:
    uid = number(user or "0")
    if uid is not None:
        return next((account for account in accounts if account.uid == uid), None)
    if _NAME.fullmatch(user) is None:
        raise Invalid(f"user {user[:64]!r} is neither a number nor a name", reason=_REASON)
    found = next((account for account in accounts if account.name == user), None)
    if found is None:
        raise Invalid(f"unable to find user {user}: no matching entries in passwd file", reason=_REASON)
    return found


def _number_or_fail(text: str, what: str) -> int:
    value = number(text)
    if value is None:
        raise Invalid(f"{what} {text[:64]!r} is neither a number nor a name", reason=_REASON)
    return value


def _gid(group: str, account: Account | None, groups: list[Group]) -> int:
    if not group:
        return account.gid if account is not None else 0
    gid = number(group)
    if gid is not None:
        return gid
    if _NAME.fullmatch(group) is None:
        raise Invalid(f"group {group[:64]!r} is neither a number nor a name", reason=_REASON)
    found = next((entry for entry in groups if entry.name == group), None)
    if found is None:
        raise Invalid(f"unable to find group {group}: no matching entries in group file", reason=_REASON)
    return found.gid


def _home(account: Account | None) -> str:
    """An absolute path on one line, or "/": the image chose it and it becomes an environment variable."""
    home = account.home if account is not None else ""
    return home if home.startswith("/") and home.isprintable() else "/"
