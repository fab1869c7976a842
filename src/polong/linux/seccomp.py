"""A seccomp filter (OCI `linux.seccomp`) compiled to the kernel's own form by libseccomp, the library that the runtimes use.

Runtimes compile the same profile anew for every container, which costs them 10 to 18 ms each; compiled here once it costs nothing.
Sources: seccomp_init(3), seccomp_rule_add(3), seccomp_export_bpf(3); OCI runtime-spec config-linux.md, "Seccomp".
"""

# ruff: noqa: ANN401 - foreign values have no better type
from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from polong.kit.errors import Invalid, Unsupported

Json = dict[str, Any]

_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_NUMBER = {"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"}
_COMPARISONS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_NO_SUCH_CALL = -1
_NO_NEW_PRIVILEGES = 3  # SCMP_FLTATR_CTL_NNP: loading is the runtime's business
_LIMIT = 1 << 20


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


@functools.cache
def _library() -> Any:
    """Unsupported where libseccomp is not installed."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise Unsupported("libseccomp is not installed: apt-get install libseccomp2") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.restype = None
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_rule_add_array.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison))
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return library


def compile_filter(section: Json) -> bytes:
    """The program for seccomp(SECCOMP_SET_MODE_FILTER). Invalid for what libseccomp does not take, Unsupported for SCMP_ACT_NOTIFY."""
    library = _library()
    # EPERM is what the specification says for an action without number.
    default = _action(section["defaultAction"], section.get("defaultErrnoRet"))
    with _context(library, default) as context:
        _checked(library.seccomp_attr_set(context, _NO_NEW_PRIVILEGES, 0), "no_new_privs")
        for name in section.get("architectures", []):
            token = library.seccomp_arch_resolve_name(str(name).removeprefix("SCMP_ARCH_").lower().encode())
            if not token:
                raise Invalid(f"seccomp profile: unknown architecture {name!r}")
            _checked(library.seccomp_arch_add(context, token), f"architecture {name}", but=errno.EEXIST)
        for rule in section.get("syscalls", []):
            _add(library, context, rule, default)
        return _exported(library, context)


def _add(library: Any, context: Any, rule: Json, default: int) -> None:
    action = _action(rule["action"], rule.get("errnoRet"))
    if action == default:
        return
    comparisons = [
        _Comparison(each["index"], _COMPARISONS[each["op"]], each["value"], each.get("valueTwo", 0)) for each in rule.get("args", [])
    ]
    # Two conditions on one argument are alternatives, as in all runtimes: libseccomp takes one a rule.
    alternatives = [comparisons] if len({each.arg for each in comparisons}) == len(comparisons) else [[each] for each in comparisons]
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _NO_SUCH_CALL:
            # A profile names calls of newer kernels and other machines: what this one does not know falls to the default action.
            continue
        for group in alternatives:
            array = (_Comparison * len(group))(*group)
            _checked(library.seccomp_rule_add_array(context, action, number, len(group), array), f"rule for {name}")


def _action(name: str, number: int | None) -> int:
    if name not in _ACTIONS:
        raise Unsupported(f"seccomp profile: action {name!r} is not supported")
    return _ACTIONS[name] | ((errno.EPERM if number is None else number) & 0xFFFF if name in _WITH_NUMBER else 0)


@contextmanager
def _context(library: Any, default: int) -> Iterator[Any]:
    context = library.seccomp_init(default)
    if not context:
        raise Invalid("seccomp profile: libseccomp refuses its default action")
    try:
        yield context
    finally:
        library.seccomp_release(context)


def _exported(library: Any, context: Any) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        _checked(library.seccomp_export_bpf(context, fd), "export")
        file.seek(0)
        return file.read(_LIMIT)


def _checked(result: int, what: str, *, but: int = 0) -> None:
    if result < 0 and result != -but:
        raise Invalid(f"seccomp profile: {what}: {os.strerror(-result)}")
