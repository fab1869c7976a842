"""Which seccomp profile a container gets: the one it asks for, never none because something is missing on the host.

A container of CRI that says nothing is unconfined, which critest insists on; our kubelet always says something, RuntimeDefault if need be.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import stat
from pathlib import Path

import msgspec

from polong.cri.ports import Json
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Invalid, PolongError
from polong.linux import seccomp as filters
from polong.oci.spec import seccomp
from polong.oci.spec.capabilities import DEFAULT
from polong.oci.spec.model import Host

_REASON = "CreateContainerError"
_MOST_BYTES = 1 << 20
_CRUN_ANNOTATION = "run.oci.seccomp_bpf_data"


def default(profile: Json | None) -> Json:
    """RuntimeDefault. FailedPrecondition where the host has no profile to make it from: never silently unconfined."""
    if profile is None:
        raise FailedPrecondition(
            "no default seccomp profile on this host: install golang-github-containers-common, or ask for seccompProfile Unconfined",
            reason=_REASON,
        )
    return seccomp.runtime_default(profile)


# What /pause itself does (wait, be signalled, end), and what crun and runc still do between installing the filter and executing it.
_PAUSE = (
    "access arch_prctl brk capget capset chdir clone clone3 close close_range dup dup3 epoll_create1 epoll_ctl "
    "epoll_pwait epoll_wait eventfd2 execve execveat exit exit_group faccessat faccessat2 fcntl fstat fstatfs futex "
    "getcwd getdents64 getegid geteuid getgid getpid getppid getrandom gettid getuid kill lseek lstat madvise mmap "
    "mprotect munmap nanosleep newfstatat open openat pause pipe2 poll ppoll prctl pread64 prlimit64 read readlink "
    "readlinkat restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "sched_getaffinity sched_yield set_robust_list set_tid_address setgid setgroups setresgid setresuid setsid "
    "setuid sigaltstack stat statfs tgkill tkill umask uname wait4 waitid write"
)


def pause(profile: Json | None) -> Json:
    """The filter of /pause: a small part of RuntimeDefault, so that nobody gains by tracing it. Also small because runtimes compile
    a filter anew for every container: the whole one costs them 10 to 18 ms of processor time, this one nothing that can be measured."""
    base = default(profile)
    rule = {"names": _PAUSE.split(), "action": "SCMP_ACT_ALLOW"}
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "archMap": base.get("archMap") or [], "syscalls": [rule]}


def chosen(security: v1.LinuxContainerSecurityContext, *, runtime_default: Json | None) -> Json | None:
    """The profile document, None for Unconfined. Reads a Localhost profile's file. Invalid where it cannot be had."""
    profile = security.seccomp
    if security.privileged or not security.HasField("seccomp") or profile.profile_type == v1.SecurityProfile.Unconfined:
        return None
    if profile.profile_type == v1.SecurityProfile.RuntimeDefault:
        return default(runtime_default)
    return _localhost(profile.localhost_ref)


def annotate(config: Json) -> None:
    """Give crun the filter of config.json in the kernel's own form as well, by its annotation of the engine's side: it then does not
    compile it again. The section stays, for `verify` and for every other reader. Where it cannot be compiled here, crun does it."""
    section = config["linux"].get("seccomp")
    if section is None:
        return
    try:
        program = _compiled(msgspec.json.encode(section))
    except PolongError:
        return
    config["annotations"] = {_CRUN_ANNOTATION: program}


def compile_default(profile: Json | None, host: Host) -> None:
    """Before the first container asks for it: RuntimeDefault with the default capabilities."""
    if profile is None:
        return
    section = seccomp.section(default(profile), architecture=host.architecture, capabilities=DEFAULT & host.capabilities)
    annotate({"linux": {"seccomp": section}})


@functools.lru_cache(maxsize=128)
def _compiled(section: bytes) -> str:
    return base64.b64encode(filters.compile_filter(msgspec.json.decode(section))).decode("ascii")


def _localhost(reference: str) -> Json:
    if not reference.startswith("/") or ".." in reference.split("/") or "\0" in reference:
        raise Invalid(f"seccomp profile {reference[:256]!r} is not a plain absolute path", reason=_REASON)
    try:
        document = json.loads(_read(Path(reference)))
    except OSError as error:
        raise Invalid(f"cannot read seccomp profile {reference}: {error.strerror}", reason=_REASON) from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"cannot read seccomp profile {reference}: it is not JSON", reason=_REASON) from error
    if not isinstance(document, dict):
        raise Invalid(f"cannot read seccomp profile {reference}: it is not a JSON object", reason=_REASON)
    return document


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise Invalid(f"cannot read seccomp profile {path}: not a regular file", reason=_REASON)
        if info.st_size > _MOST_BYTES:
            raise Invalid(f"cannot read seccomp profile {path}: more than {_MOST_BYTES} bytes", reason=_REASON)
        return file.read(_MOST_BYTES)
