"""What one process may do to another: the kernel's own rules as pure functions, with the rule that decides.

Sources: ptrace(2) "Ptrace access mode checking"; kernel/ptrace.c __ptrace_may_access; security/commoncap.c cap_ptrace_access_check;
kill(2); proc(5), proc_pid_environ(5); Documentation/admin-guide/LSM/Yama.rst, apparmor.d(5) "Ptrace rules", "Signal rules".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SEE, SIGNAL, ENVIRON, ROOT, CWD, PTRACE = ACTIONS = ("see", "signal", "environ", "root", "cwd", "ptrace")
"""`environ`, `root` and `cwd` are the files of that name in /proc/PID; `ptrace` is PTRACE_ATTACH and PTRACE_SEIZE."""

Ids = tuple[int, int, int, int]


@dataclass(frozen=True)
class Process:
    """What the kernel judges by. Four ids each: real, effective, saved, file system. Capabilities are names without CAP_.

    `pid_namespaces`: its own first, then those around it. `holds_all_namespaces`: it is in the initial user namespace, whose
    capabilities hold in every other. `namespace_root`: the uid, as the node counts, that is 0 in its user namespace. `hidepid` is of the
    caller's own /proc. `refused_calls`: what its seccomp filter does not let through, of kill and ptrace. `lsm`: the label under which
    it is confined, "" for none.
    """

    uids: Ids
    gids: Ids
    groups: tuple[int, ...] = ()
    permitted: frozenset[str] = frozenset()
    effective: frozenset[str] = frozenset()
    bounding: frozenset[str] = frozenset()
    pid_namespaces: tuple[str, ...] = ("pod",)
    user_namespace: str = "node"
    holds_all_namespaces: bool = True
    dumpable: bool = True
    namespace_root: int = 0
    hidepid: int = 0
    refused_calls: frozenset[str] = frozenset()
    lsm: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Kernel:
    """`yama` is kernel.yama.ptrace_scope (0 where there is no Yama). `perfmon_reads_memory`: since Linux 6.15 mm_access (kernel/fork.c)
    lets CAP_PERFMON and CAP_SYS_ADMIN of the initial user namespace read where the ptrace check refuses. `closed_profiles`:
    AppArmor profiles whose processes may signal, read and trace those under the same profile, and no others."""

    yama: int = 0
    perfmon_reads_memory: bool = False
    closed_profiles: frozenset[str] = frozenset()


PLAIN = Kernel()


@dataclass(frozen=True)
class Verdict:
    """`rule` is one word for programs, `reason` a sentence. `indirect`: why the caller, refused as it is, can still get there."""

    allowed: bool
    rule: str
    reason: str
    indirect: str = ""

    @property
    def possible(self) -> bool:
        """Allowed, or one step away."""
        return self.allowed or bool(self.indirect)


def started(uid: int, gid: int, capabilities: frozenset[str], groups: tuple[int, ...] = ()) -> Process:
    """A container's main process as execve(2) leaves it. Ambient capabilities are empty in containers: only root keeps any."""
    kept = capabilities if uid == 0 else frozenset()
    return Process((uid,) * 4, (gid,) * 4, groups, kept, kept, capabilities)


def decide(action: str, caller: Process, target: Process, kernel: Kernel = PLAIN) -> Verdict:
    """`action` is one of ACTIONS."""
    found = _direct(action, caller, target, kernel)
    if found.allowed:
        return found
    other = _become(caller, target)
    if other is not None and _direct(action, other, target, kernel).allowed:
        return replace(found, indirect=f"CAP_SETUID and CAP_SETGID let it become uid {target.uids[1]}, which may")
    return found


def _direct(action: str, caller: Process, target: Process, kernel: Kernel) -> Verdict:
    found = _mediated(action, caller, target, kernel)
    # Security modules are asked last, and can only refuse.
    if not found.allowed or action == SEE or found.rule == "itself":
        return found
    if caller.lsm in kernel.closed_profiles and target.lsm != caller.lsm:
        whose = f"under {target.lsm}" if target.lsm else "confined by none"
        return Verdict(False, "apparmor", f"its AppArmor profile {caller.lsm} reaches only its like, and the target is {whose}")
    return found


def _mediated(action: str, caller: Process, target: Process, kernel: Kernel) -> Verdict:
    """What Unix permissions, capabilities, seccomp and Yama say."""
    if not set(caller.pid_namespaces[:1]) & set(target.pid_namespaces):
        return Verdict(False, "pid-namespace", "it is in a PID namespace that this process does not see")
    if caller.pid and caller.pid == target.pid:
        return Verdict(True, "itself", "it is the same process")
    if action == SIGNAL:
        return _signal(caller, target)
    if caller.hidepid and action != PTRACE and not (found := _ptrace(caller, target, real=False)).allowed:
        return Verdict(False, "hidepid", f"/proc is mounted with hidepid={caller.hidepid}, and {found.reason}")
    if action == SEE:
        return Verdict(True, "pid-namespace", "both are in one PID namespace, and /proc shows everybody")
    if action == PTRACE:
        return _attach(caller, target, kernel.yama)
    return _environ(caller, target, kernel) if action == ENVIRON else _ptrace(caller, target, real=False)


def _environ(caller: Process, target: Process, kernel: Kernel) -> Verdict:
    owner = _file_owner(caller, target)
    found = _ptrace(caller, target, real=False)
    if not owner.allowed or found.allowed:
        return found if owner.allowed else owner
    if kernel.perfmon_reads_memory and caller.holds_all_namespaces:
        for name in ("PERFMON", "SYS_ADMIN"):
            if name in caller.effective:
                return Verdict(True, f"CAP_{name}", f"it has CAP_{name}, which since Linux 6.15 reads other processes' memory")
    return found


def _signal(caller: Process, target: Process) -> Verdict:
    if "kill" in caller.refused_calls:
        return Verdict(False, "seccomp", "its seccomp filter refuses kill(2)")
    if {caller.uids[0], caller.uids[1]} & {target.uids[0], target.uids[2]}:
        return Verdict(True, "uid", f"its real or effective uid {caller.uids[1]} is the target's real or saved uid")
    if capable(caller, target, "KILL"):
        return Verdict(True, "CAP_KILL", "it has CAP_KILL")
    return Verdict(False, "uid", f"uid {caller.uids[1]} is not the target's uid {target.uids[0]}, and it lacks CAP_KILL")


def _file_owner(caller: Process, target: Process) -> Verdict:
    """/proc/PID/environ is mode 0400: before the ptrace check comes that of any file."""
    owner = target.uids[1] if target.dumpable else target.namespace_root
    whose = f"uid {owner}" + ("" if target.dumpable else " (the target is not dumpable)")
    if caller.uids[3] == owner:
        return Verdict(True, "uid", f"the file belongs to {whose}, as it does itself")
    for name in ("DAC_OVERRIDE", "DAC_READ_SEARCH"):
        if capable(caller, target, name):
            return Verdict(True, f"CAP_{name}", f"it has CAP_{name}")
    reason = f"the file is readable by {whose} alone, and uid {caller.uids[3]} lacks CAP_DAC_READ_SEARCH and CAP_DAC_OVERRIDE"
    return Verdict(False, "CAP_DAC_READ_SEARCH", reason)


def _attach(caller: Process, target: Process, yama: int) -> Verdict:
    if "ptrace" in caller.refused_calls:
        return Verdict(False, "seccomp", "its seccomp filter refuses ptrace(2)")
    found = _ptrace(caller, target, real=True)
    if not found.allowed:
        return found
    if yama >= 3:
        return Verdict(False, "yama", "kernel.yama.ptrace_scope is 3: nobody attaches, until the next boot")
    if yama >= 1 and not capable(caller, target, "SYS_PTRACE"):
        rest = "only to its own children" if yama == 1 else "not at all"
        return Verdict(False, "yama", f"kernel.yama.ptrace_scope is {yama}: without CAP_SYS_PTRACE it may attach {rest}")
    return found


def _ptrace(caller: Process, target: Process, *, real: bool) -> Verdict:
    """PTRACE_MODE_READ_FSCREDS (files in /proc), or PTRACE_MODE_ATTACH_REALCREDS (`real`) less Yama."""
    if capable(caller, target, "SYS_PTRACE"):
        return Verdict(True, "CAP_SYS_PTRACE", "it has CAP_SYS_PTRACE")
    place = 0 if real else 3
    uid, gid = caller.uids[place], caller.gids[place]
    if any(each != uid for each in target.uids[:3]):
        owns = "/".join(str(each) for each in dict.fromkeys(target.uids[:3]))
        return Verdict(False, "uid", f"uid {uid} is not the target's uid {owns}, and it lacks CAP_SYS_PTRACE")
    if any(each != gid for each in target.gids[:3]):
        owns = "/".join(str(each) for each in dict.fromkeys(target.gids[:3]))
        return Verdict(False, "gid", f"gid {gid} is not the target's gid {owns} (the uid alone is not enough), and it lacks CAP_SYS_PTRACE")
    if not target.dumpable:
        return Verdict(False, "dumpable", "the target is not dumpable (prctl PR_SET_DUMPABLE, or a program that its user may not read)")
    if caller.user_namespace != target.user_namespace:
        return Verdict(False, "user-namespace", "the target is in another user namespace, in which this process has no capabilities")
    missing = target.permitted - (caller.permitted if real else caller.effective)
    if missing:
        names = ", ".join(f"CAP_{name}" for name in sorted(missing))
        return Verdict(False, "capabilities", f"the target has capabilities that it lacks ({names}), and it lacks CAP_SYS_PTRACE")
    return Verdict(True, "uid", f"uid {uid} and gid {gid} are the target's, which has no capability beyond its own")


def capable(caller: Process, target: Process, name: str) -> bool:
    """Whether an effective capability of the caller holds in the target's user namespace."""
    return name in caller.effective and (caller.holds_all_namespaces or caller.user_namespace == target.user_namespace)


def _become(caller: Process, target: Process) -> Process | None:
    """The caller after setgid(2) and setuid(2); with prctl PR_SET_KEEPCAPS it keeps its capabilities."""
    if not {"SETUID", "SETGID"} <= caller.effective or caller.user_namespace != target.user_namespace:
        return None
    return replace(caller, uids=(target.uids[1],) * 4, gids=(target.gids[1],) * 4)
