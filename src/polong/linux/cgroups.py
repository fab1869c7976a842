"""Control groups of the three layouts behind one class: v1, hybrid (controllers on v1, `cgroup.kill` on an empty v2 tree), v2.

A cgroup is named by its absolute path from the root of the hierarchy (`/polong/<node>/pod<uid>`), the same in every hierarchy.
Sources: kernel Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/*, cgroups(7).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from polong.kit.errors import Internal
from polong.linux import cgroup_limits, mountinfo
from polong.linux.cgroup_limits import Json

V1, HYBRID, V2 = "v1", "hybrid", "v2"
_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True)
class Stats:
    """What a cgroup used, itself and all below. CPU time in nanoseconds, memory in bytes; `working_set` leaves out inactive file
    cache, as the kubelet reckons. `oom_kills` counts processes killed by the OOM killer."""

    cpu_ns: int
    memory: int
    working_set: int
    pids: int
    oom_kills: int
    rss: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    swap: int = 0


@dataclass(frozen=True)
class Layout:
    """Where the hierarchies are mounted. `controllers`: v1 controller -> mount; `unified`: the v2 tree, where there is one."""

    kind: str
    controllers: dict[str, Path]
    unified: Path | None

    def trees(self) -> list[Path]:
        """Every hierarchy once."""
        mounts = dict.fromkeys(self.controllers.values())
        if self.unified is not None:
            mounts.setdefault(self.unified)
        return list(mounts)


def detect(mounts: Iterable[mountinfo.Mount] | None = None) -> Layout:
    """The layout of this host, from its mount table. Internal where no cgroup hierarchy is mounted."""
    controllers: dict[str, Path] = {}
    unified: Path | None = None
    for mount in mountinfo.read() if mounts is None else mounts:
        # A bind mount of a part of a tree, as in containers of others, is not the hierarchy.
        if mount.fstype == "cgroup2" and mount.root == "/" and unified is None:
            unified = Path(mount.target)
        elif mount.fstype == "cgroup" and mount.root == "/":
            names = {option.removeprefix("name=") for option in mount.super_options} - {"rw", "ro", "xattr", "nsdelegate"}
            for name in names:
                controllers.setdefault(name, Path(mount.target))
    kernel = {name for name in controllers if name != "systemd"}
    if not controllers and unified is None:
        raise Internal("no cgroup hierarchy is mounted: mount cgroup2 at /sys/fs/cgroup")
    if kernel:
        return Layout(HYBRID if unified is not None else V1, controllers, unified)
    return Layout(V2, {}, unified) if unified is not None else Layout(V1, controllers, None)


class Cgroups:
    """All cgroups of one host layout. Methods are short file operations, but `kill`, which waits."""

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or detect()

    def directories(self, path: str) -> list[Path]:
        """Those that exist for `path`, one a hierarchy."""
        return [Path(directory) for directory in self._directories(path)]

    def _directories(self, path: str) -> list[str]:
        below = _checked(path)
        return [directory for tree in self.layout.trees() if os.path.isdir(directory := f"{tree}{below}")]  # noqa: PTH112 - hot

    def unified_directory(self, path: str) -> Path | None:
        """The directory in the v2 tree (made or not), None on pure v1."""
        return None if self.layout.unified is None else _below(self.layout.unified, path)

    def controller_directories(self, path: str) -> list[Path]:
        """The directories in the v1 hierarchies, one each (made or not)."""
        return [_below(tree, path) for tree in self.layout.trees() if tree != self.layout.unified]

    def exists(self, path: str) -> bool:
        return bool(self._directories(path))

    def create(self, path: str, resources: Json | None = None) -> None:
        """Make it in every hierarchy, parents too, and set limits (an OCI `linux.resources` document). Idempotent."""
        for tree in self.layout.trees():
            self._create_in(tree, path)
        if resources:
            self.update(path, resources)

    def create_unified(self, path: str) -> Path | None:
        """Only the directory in the v2 tree: the leaf whose `cgroup.kill` ends a container on a hybrid host."""
        if self.layout.unified is None:
            return None
        self._create_in(self.layout.unified, path)
        return _below(self.layout.unified, path)

    def _create_in(self, tree: Path, path: str) -> None:
        directory = f"{tree}{_checked(path)}"
        above, _, _ = path.rstrip("/").rpartition("/")
        if tree == self.layout.unified and self.layout.kind == V2 and os.path.isdir(f"{tree}{above}"):  # noqa: PTH112 - hot
            _delegate(Path(f"{tree}{above}"))
        try:
            os.mkdir(directory, 0o755)  # noqa: PTH102 - hot: ten hierarchies for each container
        except FileNotFoundError:
            self._create_in(tree, above)
            self._create_in(tree, path)
            return
        except FileExistsError:
            pass
        if tree == self.layout.controllers.get("cpuset"):
            _inherit_cpuset(Path(f"{tree}{above}"), Path(directory))

    def update(self, path: str, resources: Json) -> None:
        """Set the limits that `resources` names, leave the others. OSError where the kernel refuses a value."""
        writes = cgroup_limits.v2(resources) if self.layout.kind == V2 else cgroup_limits.v1(resources)
        for controller, file, value in writes:
            tree = self.layout.unified if self.layout.kind == V2 else self.layout.controllers.get(controller)
            if tree is None:
                continue
            target = _below(tree, path) / file
            if not target.exists():
                # A kernel without that controller (swap accounting, hugetlb): the limit cannot be, and the Pod still runs.
                continue
            _write_limit(target, value)

    def children(self, path: str) -> list[str]:
        """All cgroups below it, in any hierarchy, deepest first."""
        found: dict[str, None] = {}
        for directory in self.directories(path):
            for group in _walk(directory):
                if group != directory:
                    found[path.rstrip("/") + "/" + str(group.relative_to(directory))] = None
        return sorted(found, key=lambda name: (-name.count("/"), name))

    def processes(self, path: str) -> list[int]:
        """Host pids in it and in all below, in any hierarchy."""
        # Ten hierarchies say the same of a thousand processes: each text is read, and only what differs is taken apart.
        texts = {_members(group) for directory in self._directories(path) for group in _walk_text(directory)}
        found: set[int] = set()
        for text in texts:
            found.update(_numbers(text))
        return sorted(found)

    def attach(self, path: str, pid: int) -> None:
        """Move a process into it, in every hierarchy."""
        for directory in self.directories(path):
            _put(directory / "cgroup.procs", str(pid))

    async def kill(self, path: str, timeout: float = 10.0) -> None:
        """SIGKILL every process in it and below, children being born included, and wait until none is left (a zombie is none).

        v2 and hybrid: `cgroup.kill`, at once for the whole tree. v1: freeze, signal all, thaw, until a round finds nothing.
        Internal where something still lives after `timeout` seconds. A cgroup that does not exist has nothing to kill.
        """
        deadline = time.monotonic() + timeout
        pause = 0.001
        while True:
            self._kill_once(path)
            left = [pid for pid in self.processes(path) if _lives(pid)]
            if not left:
                return
            if time.monotonic() > deadline:
                raise Internal(
                    f"cannot end {len(left)} processes of cgroup {path}, such as pid {left[0]}: they do not die within {timeout:g} s"
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _kill_once(self, path: str) -> None:
        unified = self.unified_directory(path)
        if unified is not None:
            with suppress(OSError):
                _put(unified / "cgroup.kill", "1")
        if self.layout.kind == V2:
            return
        # What is in the v1 cgroup, but was not born in the unified leaf (or where there is no such tree).
        if not any(_lives(pid) for pid in self.processes(path)):
            return
        freezer = self.layout.controllers.get("freezer")
        state = _below(freezer, path) / "freezer.state" if freezer is not None else None
        with suppress(OSError):
            if state is not None:
                _put(state, "FROZEN")
        try:
            for pid in self.processes(path):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            # A frozen process dies only when it is thawed.
            with suppress(OSError):
                if state is not None:
                    _put(state, "THAWED")

    def delete(self, path: str) -> None:
        """Remove it and all below. Idempotent. OSError (EBUSY) where a process is still in it."""
        for directory in self._directories(path):
            for group in reversed(list(_walk_text(directory))):
                _rmdir(group)

    def delete_if_empty(self, path: str) -> None:
        """Remove it in each hierarchy where nothing is below or in it. Idempotent."""
        for directory in self._directories(path):
            with suppress(OSError):
                os.rmdir(directory)  # noqa: PTH106 - as its siblings

    def stats(self, path: str) -> Stats | None:
        """None where there is no such cgroup."""
        if not self.exists(path):
            return None
        return self._stats_v2(path) if self.layout.kind == V2 else self._stats_v1(path)

    def _stats_v2(self, path: str) -> Stats:
        assert self.layout.unified is not None
        group = _below(self.layout.unified, path)
        memory = _number(group / "memory.current")
        memory_stat = _keyed(group / "memory.stat")
        inactive = memory_stat.get("inactive_file", 0)
        return Stats(
            cpu_ns=_keyed(group / "cpu.stat").get("usage_usec", 0) * 1000,
            memory=memory,
            working_set=max(0, memory - inactive),
            pids=_number(group / "pids.current"),
            oom_kills=_keyed(group / "memory.events").get("oom_kill", 0),
            rss=memory_stat.get("anon", 0),
            page_faults=memory_stat.get("pgfault", 0),
            major_page_faults=memory_stat.get("pgmajfault", 0),
            swap=_number(group / "memory.swap.current"),
        )

    def _stats_v1(self, path: str) -> Stats:
        def group(controller: str) -> Path:
            return _below(self.layout.controllers.get(controller, Path("/nonexistent")), path)

        memory = _number(group("memory") / "memory.usage_in_bytes")
        memory_stat = _keyed(group("memory") / "memory.stat")
        inactive = memory_stat.get("total_inactive_file", 0)
        return Stats(
            cpu_ns=_number(group("cpuacct") / "cpuacct.usage"),
            memory=memory,
            working_set=max(0, memory - inactive),
            pids=_number(group("pids") / "pids.current"),
            oom_kills=_keyed(group("memory") / "memory.oom_control").get("oom_kill", 0),
            rss=memory_stat.get("total_rss", 0),
            page_faults=memory_stat.get("total_pgfault", 0),
            major_page_faults=memory_stat.get("total_pgmajfault", 0),
            swap=memory_stat.get("total_swap", 0),
        )


@lru_cache(maxsize=1024)
def _checked(path: str) -> str:
    """`path` from a hierarchy's mount on; ValueError where it is not the path of a cgroup."""
    parts = [part for part in path.split("/") if part]
    if not path.startswith("/") or not parts or any(part in {".", ".."} or "\n" in part for part in parts):
        raise ValueError(f"not the path of a cgroup: {path!r}")
    return "/" + "/".join(parts)


def _below(tree: Path, path: str) -> Path:
    return Path(f"{tree}{_checked(path)}")


def _walk(directory: Path) -> Iterator[Path]:
    """A cgroup and all below it, parents first. What vanishes meanwhile is passed by."""
    return (Path(each) for each in _walk_text(str(directory)))


def _walk_text(directory: str) -> Iterator[str]:
    yield directory
    try:
        with os.scandir(directory) as entries:
            children = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return
    for child in children:
        yield from _walk_text(child)


def _pids(directory: str | Path) -> list[int]:
    return _numbers(_members(directory))


def _members(directory: str | Path) -> bytes:
    try:
        return _content(f"{directory}/cgroup.procs")
    except OSError:
        # ENODEV: removed while open. EOPNOTSUPP: a threaded cgroup, whose domain lists its processes.
        return b""


def _numbers(text: bytes) -> list[int]:
    """PIDs, one a line; 0 stands for one of another namespace, whose number is not known here."""
    return [number for number in map(int, text.split()) if number]


def _lives(pid: int) -> bool:
    try:
        return _content(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


def _content(file: str) -> bytes:
    """A kernel file, whole: pathlib and text decoding cost three times as much, and these are read by the hundred."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)


def _rmdir(group: str) -> None:
    # Dead processes may be counted for some milliseconds after they were reaped.
    for attempt in range(20):
        try:
            os.rmdir(group)  # noqa: PTH106 - hot
        except FileNotFoundError:
            return
        except OSError:
            if attempt == 19 or any(_lives(pid) for pid in _pids(group)):
                raise
            time.sleep(0.002)
        else:
            return


def _delegate(group: Path) -> None:
    """v2: hand every controller of `group` down to its children."""
    with suppress(OSError):
        available = set((group / "cgroup.controllers").read_text().split())
        enabled = set((group / "cgroup.subtree_control").read_text().split())
        for controller in sorted(available - enabled):
            with suppress(OSError):
                _put(group / "cgroup.subtree_control", f"+{controller}")


def _inherit_cpuset(parent: Path, child: Path) -> None:
    """v1: an empty cpuset takes no process; a new one must be given its parent's CPUs and memory nodes."""
    for name in _CPUSET_FILES:
        if not (child / name).read_text().strip():
            _put(child / name, (parent / name).read_text())


def _write_limit(file: Path, value: str) -> None:
    try:
        _put(file, value)
    except OSError as error:
        raise OSError(error.errno, f"cannot set {file.name} to {value}: {error.strerror}", str(file)) from error


def _put(file: Path, value: str) -> None:
    """Write to a control file, which the kernel makes: never create one."""
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _keyed(file: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in file.read_text().splitlines())
    except OSError:
        return {}
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
