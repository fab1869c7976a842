"""The part of polong.dev's OpenAPI that concerns reach: pods/access. Pure."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_NUMBER: Json = {"type": "integer", "format": "int64"}

_VERDICT: Json = {
    "type": "object",
    "properties": {
        "allowed": {"type": "boolean"},
        "rule": {**_TEXT, "description": "One word: uid, gid, dumpable, capabilities, pid-namespace, yama, CAP_KILL and so on."},
        "reason": _TEXT,
        "indirect": {**_TEXT, "description": "How a refused caller gets there after all; empty where it does not."},
        "change": {**_TEXTS, "description": "Lines of YAML below spec, the fewest that turn the verdict over."},
    },
}
_VERDICTS: Json = {"type": "object", "properties": dict.fromkeys(("see", "signal", "environ", "root", "cwd", "ptrace"), _VERDICT)}
_PROCESS: Json = {"type": "object", "properties": {"pid": _NUMBER, "hostPID": _NUMBER, "uid": _NUMBER, "command": _TEXTS}}

KINDS: dict[str, Json] = {
    "PodAccess": {
        "yamaPtraceScope": _NUMBER,
        "notes": _TEXTS,
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "from": {**_TEXT, "description": "The container whose main process is the caller."},
                    "to": {**_TEXT, "description": "Empty for /pause, which belongs to the Pod itself."},
                    "process": _PROCESS,
                    "verdicts": _VERDICTS,
                },
            },
        },
    },
}
"""Properties by kind, besides kind, apiVersion and metadata."""

ACCESS_QUERY = (("from", "string"), ("to", "string"))
