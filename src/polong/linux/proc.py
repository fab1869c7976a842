"""/proc of one process, as values. `root` may be another directory, for tests. Text from there is bounded and never trusted.

A pid names a process only together with its start time. `Handle` holds the process itself: its directory stays that of one process,
also when the number is used again, so that everything read through it is of the same one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from polong.linux.fds import Fd

T = TypeVar("T")

PROC = Path("/proc")
_LIMIT = 64 * 1024
_USUAL = 4096
_FLAGS = os.O_RDONLY | os.O_CLOEXEC
_ALL_IDS = (1 << 32) - 1
# include/linux/sched.h: the task has entered do_exit.
_PF_EXITING = 0x4
_PF_FORKNOEXEC = 0x40


# Stat and Ids are made by the thousand, and a named tuple is made in a fifth of the time of a frozen dataclass.
class Stat(NamedTuple):
    """proc_pid_stat(5). Times in clock ticks (`os.sysconf("SC_CLK_TCK")`), `rss` in pages. `exiting`: on its way out, not yet a zombie.
    `executed`: it has executed a program since it was forked."""

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
    executed: bool = True


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


class Ids(NamedTuple):
    """What of the status file a list of many processes needs: effective ids, and its PID in each namespace, outermost first."""

    uid: int
    gid: int
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Rollup:
    """proc_pid_smaps_rollup, in bytes: the share of memory that falls to this process, and what of it is swapped out."""

    pss: int
    swap: int


IdMap = tuple[tuple[int, int, int], ...]
"""(first id inside, first id as we count, how many), as user_namespaces(7) writes them."""


def inside(number: int, ids: IdMap) -> int:
    """An id of ours as a user namespace counts it; the same where that is ours or has no number for it."""
    for first, ours, count in ids:
        if ours <= number < ours + count:
            return first + number - ours
    return number


def _whole(name: str, directory: int) -> bytes:
    """A file of it, no more than the limit; in pieces of the usual size: memory for the limit costs more than the reading."""
    file = os.open(name, _FLAGS, dir_fd=directory)
    try:
        data = os.read(file, _USUAL)
        if len(data) == _USUAL:
            while more := os.read(file, _LIMIT - len(data)):
                data += more
        return data
    finally:
        os.close(file)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LIMIT).decode("utf-8", "surrogateescape")


def parse_stat(text: str) -> Stat:
    """The body of a stat file. The name may hold spaces, brackets and newlines: only the last bracket ends it."""
    head, _, tail = text.rpartition(")")
    number, _, comm = head.partition("(")
    field = tail.split(None, 22)
    state, ppid, pgrp, session, tty, _, flags = field[:7]
    bits = int(flags)
    return Stat(
        int(number),
        comm,
        state,
        int(ppid),
        int(pgrp),
        int(session),
        int(tty),
        bool(bits & _PF_EXITING),
        int(field[11]),
        int(field[12]),
        int(field[17]),
        int(field[19]),
        int(field[20]),
        int(field[21]),
        not bits & _PF_FORKNOEXEC,
    )


def stat(pid: int, root: Path = PROC) -> Stat:
    """ProcessLookupError where there is none."""
    try:
        text = _read(root / str(pid) / "stat")
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    return parse_stat(text)


def state(pid: int, root: Path = PROC) -> str:
    """The letter of its state alone, for looks at every process of the host. ProcessLookupError where there is none."""
    try:
        fd = os.open(f"{root}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ProcessLookupError(f"no process {pid}") from None
    try:
        return chr(os.read(fd, _USUAL).rpartition(b") ")[2][0])
    except IndexError:
        raise ProcessLookupError(f"no process {pid}") from None
    finally:
        os.close(fd)


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
        return _arguments(_read(root / str(pid) / "cmdline"))
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


def _arguments(text: str) -> tuple[str, ...]:
    return tuple(text.removesuffix("\0").split("\0")) if text else ()


def cgroups(pid: int, root: Path = PROC) -> dict[str, str]:
    """Controllers ("" is the unified hierarchy, "cpu,cpuacct" one of v1) -> path from that hierarchy's root."""
    try:
        return _memberships(_read(root / str(pid) / "cgroup"))
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


def _memberships(text: str) -> dict[str, str]:
    split = (line.split(":", 2) for line in text.splitlines())
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


class Handle:
    """One process, held by its directory in /proc. Every method raises ProcessLookupError once it is gone. Close after use (`with`)."""

    _IDS = re.compile(rb"\nUid:\t\d+\t(\d+).*\nGid:\t\d+\t(\d+)(?:.*\n)*?NSpid:\t(.*)\n")

    def __init__(self, pid: int, root: Path = PROC) -> None:
        self.pid = pid
        self._fd = -1
        try:
            self._fd = os.open(f"{root}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise ProcessLookupError(f"no process {pid}") from None

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        number, self._fd = self._fd, -1
        if number >= 0:
            os.close(number)

    def _bytes(self, name: str) -> bytes:
        try:
            return _whole(name, self._fd)
        except FileNotFoundError:
            raise ProcessLookupError(f"no process {self.pid}") from None

    def _text(self, name: str) -> str:
        return self._bytes(name).decode("utf-8", "surrogateescape")

    def stat(self) -> Stat:
        return self._parsed(parse_stat, "stat")

    def glance(self) -> tuple[Stat, Ids, tuple[str, ...]]:
        """stat, ids and command in one go, for lists of thousands."""
        fd = self._fd
        try:
            line, table, words = _whole("stat", fd), _whole("status", fd), _whole("cmdline", fd)
        except FileNotFoundError:
            raise ProcessLookupError(f"no process {self.pid}") from None
        found = self._IDS.search(table)
        if found is None:
            raise ProcessLookupError(f"no process {self.pid}")
        uid, gid, pids = found.groups()
        command = words.decode("utf-8", "surrogateescape")
        try:
            stat = parse_stat(line.decode("utf-8", "surrogateescape"))
        except (ValueError, IndexError):
            raise ProcessLookupError(f"no process {self.pid}") from None
        return stat, Ids(int(uid), int(gid), tuple(map(int, pids.split()))), _arguments(command)

    def status(self) -> Status:
        return self._parsed(parse_status, "status")

    def _parsed(self, parse: Callable[[str], T], name: str) -> T:
        try:
            return parse(self._text(name))
        except (KeyError, ValueError, IndexError):
            # It went in mid-read: the file is empty or cut.
            raise ProcessLookupError(f"no process {self.pid}") from None

    def ids(self) -> Ids:
        found = self._IDS.search(self._bytes("status"))
        if found is None:
            raise ProcessLookupError(f"no process {self.pid}")
        return Ids(int(found[1]), int(found[2]), tuple(map(int, found[3].split())))

    def command(self) -> tuple[str, ...]:
        return _arguments(self._text("cmdline"))

    def cgroups(self) -> dict[str, str]:
        return _memberships(self._text("cgroup"))

    def namespace(self, kind: str) -> int:
        """Inode of its namespace; 0 for a zombie, or where the kernel does not say."""
        try:
            return os.stat(f"ns/{kind}", dir_fd=self._fd).st_ino
        except OSError:
            return 0

    def id_map(self, kind: str) -> IdMap:
        """Of its user namespace, by "uid" or "gid". Empty where it shares ours, or the kernel does not say."""
        try:
            lines = [tuple(map(int, line.split())) for line in self._text(f"{kind}_map").splitlines()]
        except (OSError, ValueError):
            return ()
        found = tuple((line[0], line[1], line[2]) for line in lines if len(line) == 3)
        return () if found == ((0, 0, _ALL_IDS),) else found

    def rollup(self) -> Rollup | None:
        """None for what has no memory of its own (zombies, kernel threads), or where the kernel does not say."""
        try:
            text = self._text("smaps_rollup")
        except (OSError, ProcessLookupError):
            return None
        sizes = {words[0]: int(words[1]) * 1024 for line in text.splitlines() if len(words := line.split()) == 3 and words[2] == "kB"}
        return Rollup(sizes["Pss:"], sizes.get("Swap:", 0)) if "Pss:" in sizes else None

    def open_files(self) -> int | None:
        """Number of its descriptors; None where they cannot be listed (zombies)."""
        try:
            fd = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError:
            return None
        try:
            with os.scandir(fd) as entries:
                return sum(1 for _ in entries)
        except OSError:
            return None
        finally:
            os.close(fd)

    def root_directory(self) -> Fd:
        """O_PATH descriptor of its root directory."""
        return Fd(os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd))


def pids(root: Path = PROC) -> list[int]:
    return sorted(int(name) for name in os.listdir(root) if name.isdigit())  # noqa: PTH208 - hot


def boot_id(root: Path = PROC) -> str:
    """Changes with every boot of the kernel."""
    return _read(root / "sys/kernel/random/boot_id").strip()
