"""The part of polong.dev's OpenAPI that concerns reach: pods/access and pods/files. Pure."""

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
        "tried": {"type": "boolean", "nullable": True, "description": "What came of trying it inside; null where that could not be."},
        "triedIndirect": {"type": "boolean", "nullable": True, "description": "The same, as the target's user."},
    },
}
_VERDICTS: Json = {"type": "object", "properties": dict.fromkeys(("see", "signal", "environ", "root", "cwd", "ptrace"), _VERDICT)}
_PROCESS: Json = {"type": "object", "properties": {"pid": _NUMBER, "hostPID": _NUMBER, "uid": _NUMBER, "gid": _NUMBER, "command": _TEXTS}}

_FILE: Json = {
    "container": _TEXT,
    "name": _TEXT,
    "type": _TEXT,
    "mode": {**_TEXT, "description": "Permission bits, octal."},
    "uid": _NUMBER,
    "gid": _NUMBER,
    "sizeBytes": _NUMBER,
    "modified": {**_NUMBER, "description": "Seconds since 1970."},
    "version": {**_TEXT, "description": "Changes whenever the file does; `expected` of a write refuses to replace another one."},
    "target": {**_TEXT, "description": "Of a link, as it is written."},
}

KINDS: dict[str, Json] = {
    "PodAccess": {
        "from": {**_TEXT, "description": "Of a create: only this caller."},
        "to": {**_TEXT, "description": "Of a create: only this container, and each of its processes."},
        "verify": {"type": "boolean", "description": "Of a create: try each verdict from inside of the caller's container."},
        "verification": {
            "type": "object",
            "properties": {"tried": _NUMBER, "equal": _NUMBER, "different": {"type": "array", "items": {"type": "object"}}},
        },
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
    "PodFile": {
        **_FILE,
        "truncated": {"type": "boolean"},
        "entries": {**_NUMBER, "description": "Of a create with op=extract: files, directories and links that were written."},
        "bytes": {**_NUMBER, "description": "And the bytes of their files."},
        "leftOut": {**_TEXTS, "description": "And what was not written, and why."},
        "items": {"type": "array", "items": {"type": "object", "properties": _FILE}},
    },
}
"""Properties by kind, besides kind, apiVersion and metadata."""

ACCESS_QUERY = (("from", "string"), ("to", "string"))
FILES_QUERY = (
    *((name, "string") for name in ("container", "path", "pathBase64", "op")),
    *((name, "integer") for name in ("offset", "limit", "tail")),
    ("follow", "boolean"),
)
WRITE_QUERY = tuple((name, "string") for name in ("container", "path", "pathBase64", "op", "mode", "expected"))
