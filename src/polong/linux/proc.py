"""/proc of one process, as values. `root` may be another directory, for tests. Text from there is bounded and never trusted.

A pid names a process only together with its start time: `identify` reads both, `snapshot` reads twice and returns None where the
number has changed hands in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_LIMIT = 64 * 1024
# include/linux/sched.h: the task has entered do_exit.
_PF_EXITING = 0x4


@dataclass(frozen=True)
class Stat:
    """proc_pid_stat(5). Times in clock ticks (`os.sysconf("SC_CLK_TCK")`), `rss` in pages. `exiting`: on its way out, not yet a zombie."""

    pid: int
    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    tty: int
    exiting: bool
    utime: int
    stime: int
    threads: int
    start_time: int
    vsize: int
    rss: int


@dataclass(frozen=True)
class Status:
    """proc_pid_status(5). Four ids each: real, effective, saved, file system. `ns_pids`: outermost namespace first."""

    name: str
    ppid: int
    ns_pids: tuple[int, ...]
    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    cap_inheritable: int
    cap_permitted: int
    cap_effective: int
    cap_bounding: int
    cap_ambient: int
    no_new_privileges: bool
    seccomp: int
    rss_kib: int


@dataclass(frozen=True)
class Snapshot:
    """One process at one moment; all parts of the same process. `cgroups`: controller list (as in proc_pid_cgroup) -> path."""

    stat: Stat
    status: Status
    command: tuple[str, ...]
    cgroups: dict[str, str]


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LIMIT).decode("utf-8", "surrogateescape")


def stat(pid: int, root: Path = PROC) -> Stat:
    """ProcessLookupError where there is none."""
    try:
        text = _read(root / str(pid) / "stat")
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    # The name may hold spaces, brackets and newlines: only the last bracket ends it.
    head, _, tail = text.rpartition(")")
    number, _, comm = head.partition("(")
    field = tail.split()
    return Stat(
        pid=int(number),
        comm=comm,
        state=field[0],
        ppid=int(field[1]),
        pgrp=int(field[2]),
        session=int(field[3]),
        tty=int(field[4]),
        exiting=bool(int(field[6]) & _PF_EXITING),
        utime=int(field[11]),
        stime=int(field[12]),
        threads=int(field[17]),
        start_time=int(field[19]),
        vsize=int(field[20]),
        rss=int(field[21]),
    )


def parse_status(text: str) -> Status:
    """The body of a status file. A name cannot hold a newline (the kernel escapes it), so lines are safe to split."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key, value.strip())

    def numbers(key: str) -> tuple[int, ...]:
        return tuple(int(word) for word in fields.get(key, "").split())

    def quadruple(key: str) -> tuple[int, int, int, int]:
        real, effective, saved, filesystem = numbers(key)
        return real, effective, saved, filesystem

    return Status(
        name=fields["Name"],
        ppid=int(fields["PPid"]),
        ns_pids=numbers("NSpid") or numbers("Pid"),
        uids=quadruple("Uid"),
        gids=quadruple("Gid"),
        groups=numbers("Groups"),
        cap_inheritable=int(fields["CapInh"], 16),
        cap_permitted=int(fields["CapPrm"], 16),
        cap_effective=int(fields["CapEff"], 16),
        cap_bounding=int(fields["CapBnd"], 16),
        cap_ambient=int(fields.get("CapAmb", "0"), 16),
        no_new_privileges=fields.get("NoNewPrivs", "0") == "1",
        seccomp=int(fields.get("Seccomp", "0")),
        rss_kib=int(fields.get("VmRSS", "0 kB").split()[0]),
    )


def status(pid: int, root: Path = PROC) -> Status:
    """ProcessLookupError where there is none."""
    try:
        return parse_status(_read(root / str(pid) / "status"))
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


def command(pid: int, root: Path = PROC) -> tuple[str, ...]:
    """The arguments; empty for a kernel thread or a zombie. A process can write here what it likes."""
    try:
        text = _read(root / str(pid) / "cmdline")
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    return tuple(text.removesuffix("\0").split("\0")) if text else ()


def cgroups(pid: int, root: Path = PROC) -> dict[str, str]:
    """Controllers ("" is the unified hierarchy, "cpu,cpuacct" one of v1) -> path from that hierarchy's root."""
    try:
        lines = _read(root / str(pid) / "cgroup").splitlines()
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    split = (line.split(":", 2) for line in lines)
    return {controllers: path for _, controllers, path in split}


def start_time(pid: int, root: Path = PROC) -> int | None:
    """Clock ticks since boot, None where there is no such process. With the pid it names a process for ever (until reboot)."""
    try:
        return stat(pid, root).start_time
    except (ProcessLookupError, ValueError, IndexError):
        return None


def alive(pid: int, started: int | None = None, root: Path = PROC) -> bool:
    """True for a process that runs (a zombie does not) and, where `started` is given, is still the same one."""
    try:
        found = stat(pid, root)
    except ProcessLookupError:
        return False
    return found.state not in "ZX" and started in (None, found.start_time)


def snapshot(pid: int, root: Path = PROC) -> Snapshot | None:
    """None where the process is gone, or became another one while it was being read."""
    try:
        before = stat(pid, root)
        result = Snapshot(before, status(pid, root), command(pid, root), cgroups(pid, root))
        after = stat(pid, root)
    except (ProcessLookupError, KeyError, ValueError, IndexError):
        # ESRCH in mid-read shows as an empty or cut file as well.
        return None
    return result if after.start_time == before.start_time else None


def pids(root: Path = PROC) -> list[int]:
    return sorted(int(entry.name) for entry in root.iterdir() if entry.name.isdigit())


def boot_id(root: Path = PROC) -> str:
    """Changes with every boot of the kernel."""
    return _read(root / "sys/kernel/random/boot_id").strip()
