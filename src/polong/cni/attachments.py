"""What is remembered of every attached sandbox, so that DEL gets what ADD got, also from a later run of the daemon."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polong.cni.types import PortMapping
from polong.kit.errors import Invalid

Json = dict[str, Any]
_ID = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z_.-]{0,127}")


@dataclass(frozen=True)
class Attached:
    """`chain` in the order of ADD; `result` is None while ADD has not ended (or never did)."""

    sandbox_id: str
    netns: str
    args: str
    chain: tuple[Json, ...]
    result: Json | None = None
    ports: tuple[PortMapping, ...] = ()


class Attachments:
    """One JSON file a sandbox below `directory`, which is on a persistent disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _file(self, sandbox_id: str) -> Path:
        if not _ID.fullmatch(sandbox_id):
            raise Invalid(f"not a sandbox id: {sandbox_id[:80]!r}")
        return self._directory / f"{sandbox_id}.json"

    def put(self, attached: Attached) -> None:
        file = self._file(attached.sandbox_id)
        temporary = file.with_suffix(".new")
        body = {
            "netns": attached.netns,
            "args": attached.args,
            "chain": list(attached.chain),
            "result": attached.result,
            "ports": [asdict(port) for port in attached.ports],
        }
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(body, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)

    def get(self, sandbox_id: str) -> Attached | None:
        """None where there is none, or it is damaged (then only the plugins' own stores know, see `Network.setup`)."""
        try:
            body = json.loads(self._file(sandbox_id).read_bytes())
            chain = tuple(dict(item) for item in body["chain"])
            ports = tuple(PortMapping(**port) for port in body.get("ports", []))
            return Attached(sandbox_id, str(body["netns"]), str(body["args"]), chain, body["result"], ports)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def with_ports(self) -> list[Attached]:
        """Those that have host ports, in a stable order."""
        found = (self.get(sandbox_id) for sandbox_id in sorted(self.ids()))
        return [attached for attached in found if attached is not None and attached.ports]

    def remove(self, sandbox_id: str) -> None:
        self._file(sandbox_id).unlink(missing_ok=True)

    def ids(self) -> set[str]:
        return {path.stem for path in self._directory.glob("*.json")}
