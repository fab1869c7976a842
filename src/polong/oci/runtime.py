"""Drives crun, runc or any runtime of that command line (`cri.ports.OciRuntime`). OCI runtime-spec, runtime.md: lifecycle."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from polong.kit.errors import DeadlineExceeded, FailedPrecondition, Internal
from polong.linux import process
from polong.oci import execution, launch
from polong.oci.launch import Launcher

Json = dict[str, Any]
_REASON = "RunContainerError"
_VERSION = re.compile(r"version:?\s+(\S+)")


class Runtime:
    """`timeout`: seconds that one call of the runtime may take before its process group is killed."""

    def __init__(self, launcher: Launcher, run_dir: Path, *, timeout: float = 60.0) -> None:
        self._launcher = launcher
        self._timeout = timeout
        self._scratch = run_dir / "exec"
        self._logs = run_dir / "logs"
        for directory in (self._scratch, self._logs):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def create(self, container_id: str, bundle: Path) -> int:
        """Create without supervisor; the host PID. Its stdio is /dev/null. FailedPrecondition with the runtime's own words; then
        nothing of it is left."""
        return await self._make(container_id, bundle, "create")

    async def run(self, container_id: str, bundle: Path) -> int:
        """`create` and `start` by one call of the runtime: a sandbox's /pause, which is no program of others to be read back first."""
        return await self._make(container_id, bundle, "run", "--detach")

    async def _make(self, container_id: str, bundle: Path, *subcommand: str) -> int:
        record = self._launcher.prepare(container_id, bundle)
        log, pid_file = self._log(container_id), self._logs / f"{container_id}.pid"
        command = [
            *self._launcher.words(record.cgroup, log=log),
            *subcommand,
            "--bundle",
            str(bundle),
            "--pid-file",
            str(pid_file),
            container_id,
        ]
        # The container inherits stdio: a pipe that we waited on would stay open as long as it lives.
        child = process.spawn(command, stdin=None, stdout=None, stderr=None, cwd=bundle)
        created = False
        try:
            code = await self._ended(child, subcommand[0])
            if code != 0:
                words = launch.said(log) or f"exit status {code}"
                raise FailedPrecondition(f"cannot create container: {self._launcher.name}: {words}", reason=_REASON)
            pid = int(pid_file.read_text(encoding="ascii"))
            self._launcher.limit(record)
            created = True
            return pid
        finally:
            await child.aclose(kill=not created)
            for file in (pid_file, log):
                file.unlink(missing_ok=True)
            if not created:
                await self.delete(container_id, force=True)

    async def _ended(self, child: process.Process, what: str) -> int:
        try:
            return await process.wait_for(child, self._timeout)
        except TimeoutError:
            raise DeadlineExceeded(f"{self._launcher.name} {what} did not end within {self._timeout:g} s, killed", reason=_REASON) from None

    async def start(self, container_id: str) -> None:
        """FailedPrecondition with the runtime's own words."""
        result = await self._call(container_id, "start", container_id)
        if result:
            raise FailedPrecondition(f"cannot start container: {self._launcher.name}: {result}", reason=_REASON)

    async def kill(self, container_id: str, signal: int) -> None:
        """To the main process only; nothing where that has ended. Internal where the runtime fails otherwise."""
        if not self._launcher.knows(container_id):
            return
        words = await self._call(container_id, "kill", container_id, str(int(signal)))
        if not words:
            return
        state = await self.state(container_id)
        if state is not None and state.get("status") not in {"stopped", None}:
            raise Internal(f"cannot signal container: {self._launcher.name}: {words}")

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """Idempotent. `force` first kills all that lives in its cgroup; else FailedPrecondition where it still runs."""
        record = self._launcher.find(container_id)
        if force and record is not None:
            await self._launcher.groups.kill(record.cgroup)
        # Where the cgroups are ours, all that the runtime would still do after that is to remove its own state.
        if self._launcher.knows(container_id) and not (force and record is not None and self._launcher.places):
            words = await self._call(container_id, "delete", *(["--force"] if force else []), container_id)
            if words and not force:
                raise FailedPrecondition(f"cannot delete container: {self._launcher.name}: {words}")
        await self._launcher.forget(container_id)

    async def state(self, container_id: str) -> Json | None:
        """The `state` document; None where the runtime knows no such container, or its state of it is damaged."""
        if not self._launcher.knows(container_id):
            return None
        result = await process.run([*self._launcher.words(""), "state", container_id], timeout=self._timeout)
        if result.code != 0:
            return None
        try:
            document = json.loads(result.stdout)
        except ValueError:
            return None
        return document if isinstance(document, dict) else None

    async def exec(self, container_id: str, process: Json, *, stdin: bool, cgroup: str, passed: Sequence[int] = ()) -> execution.Exec:
        """See `cri.ports.OciRuntime.exec`. The process is born in `cgroup`. Close what is returned (`aclose`)."""
        starter = execution.Starter(self._launcher, self._scratch, timeout=self._timeout)
        return await starter.start(container_id, process, stdin=stdin, cgroup=cgroup, passed=passed)

    async def update(self, container_id: str, resources: Json) -> None:
        """New limits for a running container (OCI `linux.resources`); the others stay."""
        record = self._launcher.find(container_id)
        if self._launcher.places and record is not None:
            try:
                self._launcher.groups.update(record.cgroup, resources)
            except OSError as error:
                raise FailedPrecondition(f"cannot update container: {error.strerror}") from error
            return
        file = self._logs / f"{launch.check_id(container_id)}.resources"
        file.write_text(json.dumps(resources), encoding="utf-8")
        try:
            words = await self._call(container_id, "update", "--resources", str(file), container_id)
        finally:
            file.unlink(missing_ok=True)
        if words:
            raise FailedPrecondition(f"cannot update container: {self._launcher.name}: {words}")

    async def version(self) -> tuple[str, str]:
        """Name and version, such as ("crun", "1.8.1")."""
        result = await process.run([str(self._launcher.runtime), "--version"], timeout=self._timeout)
        match = _VERSION.search(result.stdout.decode("utf-8", "replace"))
        if result.code != 0 or match is None:
            raise FailedPrecondition(f"{self._launcher.runtime} --version: {launch.one_line(result.line())}")
        return self._launcher.name, match[1]

    def _log(self, container_id: str) -> Path:
        file = self._logs / f"{launch.check_id(container_id)}.log"
        file.unlink(missing_ok=True)
        return file

    async def _call(self, container_id: str, *words: str) -> str:
        """Run a subcommand; "" where it succeeded, else the reason in one line."""
        log = self._log(f"{container_id}.{words[0]}")
        try:
            result = await process.run([*self._launcher.words("", log=log), *words], timeout=self._timeout)
            if result.code == 0:
                return ""
            return launch.said(log) or launch.one_line(result.line())
        finally:
            with suppress(FileNotFoundError):
                log.unlink()
