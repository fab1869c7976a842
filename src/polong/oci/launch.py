"""How a runtime is called on this host, and what is kept of every container: its bundle and its cgroup.

On hybrid cgroups the runtime is run through `joiner` (csrc/joiner.c); elsewhere directly. Runtime and conmon share this.

Where the controllers are on v1, crun is not let near the cgroups: it would move its child into each of nine hierarchies, and a move of
another process waits for an RCU grace period (13 ms of the 22 ms that its create takes). `prepare` makes the cgroups, `joiner` starts crun
inside of them, `limit` sets the limits once crun is done, so that it does not run under a container's CPU quota
(docs/decisions/0009-cgroups-of-v1-are-ours.md).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition, Internal, Invalid
from polong.linux import cgroups
from polong.linux.cgroups import Cgroups

Json = dict[str, Any]
BINARIES = Path(__file__).parent / "bin"
_ID = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z_.-]{0,127}")
_LOG_LIMIT = 64 * 1024
_NO_CGROUP = ""


@dataclass(frozen=True)
class Record:
    """Where a container is: its bundle and its cgroup, both absolute."""

    bundle: Path
    cgroup: str


class Launcher:
    """One runtime binary, one state directory (below `run_dir`, which lies on a tmpfs: state of a runtime dies with the boot)."""

    def __init__(self, runtime: str | Path, run_dir: Path, groups: Cgroups | None = None) -> None:
        """`runtime` is a path, or a name looked up in PATH. `groups` is this host's by default. FailedPrecondition where there is none."""
        groups = groups or Cgroups()
        found = shutil.which(str(runtime), path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if found is None:
            raise FailedPrecondition(f"no OCI runtime {str(runtime)!r}: install crun (apt-get install crun), or give its path")
        self.runtime = Path(found)
        self.groups = groups
        self.root = run_dir / "runtime"
        self.records = run_dir / "containers"
        for directory in (self.root, self.records):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._joiner = BINARIES / "joiner"
        if not self._joiner.exists():
            raise Internal("the program joiner was not built: run make setup")

    @property
    def _hybrid(self) -> bool:
        return self.groups.layout.kind == cgroups.HYBRID

    @property
    def places(self) -> bool:
        """True where the cgroups are ours alone: controllers on v1, and a runtime that can be told to leave them be."""
        return self.groups.layout.kind != cgroups.V2 and self.name == "crun"

    @property
    def name(self) -> str:
        """crun, runc, …: by the file name."""
        return self.runtime.name

    def words(self, cgroup: str, *, log: Path | None = None, reap: Path | None = None, passed: Sequence[int] = ()) -> list[str]:
        """The command up to, without, the subcommand. `cgroup` is where the runtime's children shall be born, "" for those without;
        `reap` the pid file of an `exec --detach` whose process is to be waited for; `passed` are open descriptors, which become 3, 4, …"""
        options = ["--root", str(self.root)]
        if log is not None:
            options += ["--log", str(log), "--log-format", "json"]
        joined: list[str] = []
        if self._hybrid:
            leaf = self.groups.unified_directory(cgroup) if cgroup else None
            joined += ["--join", str(leaf)] if leaf is not None else []
            joined += ["--hide", str(self.groups.layout.unified)]
        if self.places:
            options.append("--cgroup-manager=disabled")
            if cgroup:
                joined += [word for directory in self.groups.controller_directories(cgroup) for word in ("--task", str(directory))]
        if reap is not None:
            joined += ["--reap", str(reap)]
        joined += [word for number in passed for word in ("--pass", str(number))]
        return [*([str(self._joiner), *joined, "--"] if joined else []), str(self.runtime), *options]

    def prepare(self, container_id: str, bundle: Path) -> Record:
        """Before create: note where the container is (intent first), make the unified leaf it will be born in."""
        check_id(container_id)
        record = Record(bundle, cgroup_of(bundle))
        temporary = self.records / f"{container_id}.new"
        temporary.write_text(json.dumps({"bundle": str(record.bundle), "cgroup": record.cgroup}), encoding="utf-8")
        temporary.replace(self._record(container_id))
        if self.places:
            self.groups.create(record.cgroup)
        elif self._hybrid:
            self.groups.create_unified(record.cgroup)
        return record

    def limit(self, record: Record) -> None:
        """After create, before start: the limits and device rules of config.json, where the cgroups are ours. FailedPrecondition where
        the kernel refuses one."""
        if not self.places:
            return
        try:
            self.groups.update(record.cgroup, _linux(record.bundle).get("resources", {}))
        except OSError as error:
            raise FailedPrecondition(f"cannot limit container: {error.strerror}", reason="RunContainerError") from error

    def _record(self, container_id: str) -> Path:
        return self.records / f"{check_id(container_id)}.json"

    def find(self, container_id: str) -> Record | None:
        """None where `prepare` never saw it, or its record is damaged."""
        try:
            document = json.loads(self._record(container_id).read_text(encoding="utf-8"))
            return Record(Path(document["bundle"]), str(document["cgroup"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def knows(self, container_id: str) -> bool:
        """True where the runtime itself has state of it."""
        return (self.root / check_id(container_id)).is_dir()

    async def forget(self, container_id: str) -> None:
        """After delete: end what is left in the cgroup, remove cgroup, state and record. Idempotent."""
        record = self.find(container_id)
        if record is not None and record.cgroup != _NO_CGROUP:
            await self.groups.kill(record.cgroup)
            with suppress(OSError):
                self.groups.delete(record.cgroup)
        if self.knows(container_id):
            shutil.rmtree(self.root / container_id, ignore_errors=True)
        self._record(container_id).unlink(missing_ok=True)


def check_id(container_id: str) -> str:
    """Ids become file names: Invalid where one is not plain."""
    if not _ID.fullmatch(container_id):
        raise Invalid(f"not a container id: {container_id[:80]!r}")
    return container_id


def cgroup_of(bundle: Path) -> str:
    """`linux.cgroupsPath` of the bundle's config.json; FailedPrecondition where there is no usable one."""
    path = _linux(bundle).get("cgroupsPath")
    if not isinstance(path, str) or not path.startswith("/"):
        raise FailedPrecondition(f"bundle {bundle}: cgroupsPath {path!r} is not absolute")
    return path


def _linux(bundle: Path) -> Json:
    try:
        section = json.loads((bundle / "config.json").read_bytes())["linux"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FailedPrecondition(f"bundle {bundle} has no usable config.json: {error}") from error
    if not isinstance(section, dict):
        raise FailedPrecondition(f"bundle {bundle} has no usable config.json: linux is not an object")
    return section


def said(log: Path) -> str:
    """The runtime's last error from its JSON log, as one line; "" where it said none. The log is foreign text: bounded, one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_LIMIT))
            lines = file.read(_LOG_LIMIT).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in {"error", "fatal"} and isinstance(entry.get("msg"), str):
            return one_line(entry["msg"])
    return ""


def one_line(text: str, limit: int = 1024) -> str:
    """Printable, on one line, bounded."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:limit]
