"""How a runtime is called on this host, and what is kept of every container: its bundle and its cgroup.

On hybrid cgroups the runtime is run through `joiner` (csrc/joiner.c); elsewhere directly. Runtime and conmon share this.
"""

from __future__ import annotations

import json
import os
import re
import shutil
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
    def name(self) -> str:
        """crun, runc, …: by the file name."""
        return self.runtime.name

    def words(self, cgroup: str, *, log: Path | None = None, reap: Path | None = None) -> list[str]:
        """The command up to, without, the subcommand. `cgroup` is where the runtime's children shall be born, "" for those without;
        `reap` the pid file of an `exec --detach` whose process is to be waited for."""
        options = ["--root", str(self.root)]
        if log is not None:
            options += ["--log", str(log), "--log-format", "json"]
        joined: list[str] = []
        if self._hybrid:
            leaf = self.groups.unified_directory(cgroup) if cgroup else None
            joined += ["--join", str(leaf)] if leaf is not None else []
            joined += ["--hide", str(self.groups.layout.unified)]
        if reap is not None:
            joined += ["--reap", str(reap)]
        return [*([str(self._joiner), *joined, "--"] if joined else []), str(self.runtime), *options]

    def prepare(self, container_id: str, bundle: Path) -> Record:
        """Before create: note where the container is (intent first), make the unified leaf it will be born in."""
        check_id(container_id)
        record = Record(bundle, cgroup_of(bundle))
        temporary = self.records / f"{container_id}.new"
        temporary.write_text(json.dumps({"bundle": str(record.bundle), "cgroup": record.cgroup}), encoding="utf-8")
        temporary.replace(self._record(container_id))
        if self._hybrid:
            self.groups.create_unified(record.cgroup)
        return record

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
    try:
        path = json.loads((bundle / "config.json").read_bytes())["linux"]["cgroupsPath"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FailedPrecondition(f"bundle {bundle} has no usable config.json: {error}") from error
    if not isinstance(path, str) or not path.startswith("/"):
        raise FailedPrecondition(f"bundle {bundle}: cgroupsPath {path!r} is not absolute")
    return path


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
