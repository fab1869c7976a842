"""Runs one CNI plugin (CNI spec 1.0.0, section 2): bounded in time and output, in a process group of its own, with a clean environment."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polong.cni import result
from polong.kit.errors import DeadlineExceeded, Unavailable
from polong.linux import process

Json = dict[str, Any]
PLUGIN_DIRS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_OUTPUT_LIMIT = 1 << 20
_REASON = "NetworkNotReady"


class Plugins:
    """The plugins in `directories`; the first that has one gives it."""

    def __init__(self, directories: Sequence[Path] = PLUGIN_DIRS, *, timeout: float = 30.0) -> None:
        self._directories = tuple(directories)
        self._timeout = timeout

    def find(self, kind: str) -> Path | None:
        """By plain name only: a path in a configuration would run any program."""
        if not _NAME.fullmatch(kind):
            return None
        candidates = (directory / kind for directory in self._directories)
        return next((path for path in candidates if path.is_file()), None)

    async def add(self, config: Json, target: Json) -> Json:
        """ADD; the result document. Unavailable with the plugin's own words."""
        return result.document(await self._run("ADD", config, target), str(config.get("type")))

    async def delete(self, config: Json, target: Json) -> None:
        """DEL. Unavailable where it fails; the caller tries again."""
        await self._run("DEL", config, target)

    async def _run(self, command: str, config: Json, target: Json) -> bytes:
        """`target`: container, netns, ifname, args (CNI's variables of those names)."""
        kind = str(config.get("type"))
        plugin = self.find(kind)
        if plugin is None:
            places = " or ".join(str(directory) for directory in self._directories)
            raise Unavailable(f"network plugin {kind!r} is not in {places}: install containernetworking-plugins", reason=_REASON)
        environment = process.clean_environment(
            {
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": target["container"],
                "CNI_NETNS": target["netns"],
                "CNI_IFNAME": target["ifname"],
                "CNI_ARGS": target["args"],
                "CNI_PATH": ":".join(str(directory) for directory in self._directories),
            }
        )
        data = json.dumps(config).encode()
        try:
            ended = await process.run([plugin], timeout=self._timeout, stdin=data, env=environment, limit=_OUTPUT_LIMIT)
        except DeadlineExceeded as error:
            raise Unavailable(f"network plugin {kind} {command}: {error.message}", reason=_REASON) from error
        if ended.code != 0:
            words = result.failure(ended.stdout, ended.stderr, ended.code)
            raise Unavailable(f"network plugin {kind} {command} failed: {words}", reason=_REASON)
        return ended.stdout
