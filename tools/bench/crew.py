"""The workers, one for each engine, each in fresh namespaces; a worker that fails is dismissed and the others go on."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.bench.engine import REPO

_NEEDS = {"podman": ("podman", "runc"), "containerd": ("containerd", "ctr", "runc")}


class Crew:
    """A context: at its end every process, mount, network namespace, cgroup and file of the run is gone."""

    def __init__(self, engines: Sequence[str]) -> None:
        self.failures: dict[str, str] = {}
        self._workers: dict[str, subprocess.Popen[str]] = {}
        self._engines = engines
        self._directory = Path()
        self._cgroups_before: set[Path] = set()

    def __enter__(self) -> Self:
        self._cgroups_before = set(_cgroups())
        self._directory = Path(tempfile.mkdtemp(prefix="polong-bench-"))
        for engine in self._engines:
            missing = [program for program in _NEEDS.get(engine, ()) if shutil.which(program) is None]
            if missing:
                self.failures[engine] = f"{', '.join(missing)} not installed"
            else:
                self._workers[engine] = self._worker(engine)
        return self

    def _worker(self, engine: str) -> subprocess.Popen[str]:
        directory = self._directory / engine
        directory.mkdir()
        # The shell is PID 1 in there and reaps what daemons leave behind; `exit` keeps it from replacing itself by the command.
        script = f'"{sys.executable}" -m tools.bench.worker "$0" "$1"; exit $?'
        namespaces = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        with (directory / "worker.log").open("w") as log:
            return subprocess.Popen(
                [*namespaces, "sh", "-c", script, engine, str(directory)],
                cwd=REPO,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def names(self) -> list[str]:
        """Engines that still work."""
        return list(self._workers)

    def ask(self, engine: str, action: str, number: int = 0) -> Any:
        """The answer; None where the engine has failed, now or before (the reason stands in `failures`)."""
        worker = self._workers.get(engine)
        if worker is None:
            return None
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            print(json.dumps({"do": action, "number": number}), file=worker.stdin, flush=True)
            line = worker.stdout.readline()
            answer = json.loads(line) if line else {"error": f"the worker ended; see {self._tail(engine)}"}
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        if "error" in answer:
            self.failures[engine] = f"{action}: {answer['error']}"
            print(f"bench: {engine}: {self.failures[engine]}", file=sys.stderr, flush=True)
            self._dismiss(engine)
            return None
        return answer["value"]

    def _tail(self, engine: str) -> str:
        return (self._directory / engine / "worker.log").read_text()[-600:]

    def _dismiss(self, engine: str) -> None:
        worker = self._workers.pop(engine)
        with contextlib.suppress(OSError):
            assert worker.stdin is not None
            worker.stdin.close()
        try:
            worker.wait(60)
        except subprocess.TimeoutExpired:
            worker.kill()  # its PID namespace ends with it, and with that everything inside
            worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for engine in self.names():
            self._dismiss(engine)
        for cgroup in sorted(set(_cgroups()) - self._cgroups_before, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):  # busy: another program's, made meanwhile
                cgroup.rmdir()
        shutil.rmtree(self._directory, ignore_errors=True)


def _cgroups() -> list[Path]:
    """Those that an engine of the run may have made: below its parents' names, in every hierarchy."""
    parents = ("libpod_parent", "polong-bench-containerd", "polong", "conmon")
    found: list[Path] = []
    for top in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")):
        for parent in parents:
            if (top / parent).is_dir():
                found += [top / parent, *(path for path in (top / parent).rglob("*") if path.is_dir())]
    return found
