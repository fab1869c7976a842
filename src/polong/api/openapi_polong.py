"""/openapi/v3/apis/polong.dev/v1alpha1: what concerns processes. Written by hand: no schema of Kubernetes' knows these kinds. Pure."""

from __future__ import annotations

from typing import Any

from polong.api import openapi_inspection

Json = dict[str, Any]

NAME = "apis/polong.dev/v1alpha1"
_BASE = f"/{NAME}"
_POD = f"{_BASE}/namespaces/{{namespace}}/pods/{{name}}"
_PREFIX = "dev.polong.v1alpha1."

_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "integer", "format": "int64"}
_FLAG: Json = {"type": "boolean"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_NUMBERS: Json = {"type": "array", "items": _NUMBER}


def _said(schema: Json, description: str) -> Json:
    return {**schema, "description": description}


_NAMED: Json = {"type": "object", "properties": {"name": _TEXT, "namespace": _TEXT, "uid": _TEXT}}

_KILLED = (("cgroup", "string"), ("killed", "boolean"))
_PROCESS: Json = {
    "container": _said(_TEXT, "Empty for /pause, which belongs to the Pod itself."),
    "containerID": _TEXT,
    "role": {**_said(_TEXT, "How it came to be here."), "enum": ["pause", "main", "child", "exec", "probe", "hook", "orphan"]},
    "pid": _said(_NUMBER, "As its own PID namespace counts."),
    "hostPID": _NUMBER,
    "parentPID": _said(_NUMBER, "0 where the parent is not of the Pod, or in another PID namespace."),
    "parentHostPID": _NUMBER,
    "pidNamespace": _said(_TEXT, "Inode; processes that have it in common see each other."),
    "uid": _said(_NUMBER, "Effective user, as the host counts."),
    "gid": _NUMBER,
    "containerUID": _said(_NUMBER, "Effective user, as its container counts: another number where the Pod has users of its own."),
    "containerGID": _NUMBER,
    "user": _said(_TEXT, "The name that /etc/passwd of its own container has for containerUID."),
    "state": _said(_TEXT, "One letter, as in /proc/PID/stat."),
    "startTime": {**_TEXT, "format": "date-time"},
    "startTicks": _said(_NUMBER, "Clock ticks since boot: with hostPID it names a process for ever."),
    "cpuSeconds": {"type": "number"},
    "rssBytes": _NUMBER,
    "threads": _NUMBER,
    "name": _TEXT,
    "command": _TEXTS,
    "executed": _said(_FLAG, "Came by exec: somebody's, a probe's or a lifecycle hook's (see role)."),
    "orphan": _said(_FLAG, "Its parent ended, and who reaps orphans took it."),
    "zombie": _said(_FLAG, "Ended, and its parent has not asked for it."),
    "cgroup": _said(_TEXT, "Only with full=true, as all that follow."),
    "pids": _said(_NUMBERS, "Its PID in each namespace, outermost first."),
    "groups": _NUMBERS,
    "capabilities": {
        "type": "object",
        "properties": dict.fromkeys(("effective", "permitted", "bounding", "ambient", "inheritable"), _TEXTS),
    },
    "noNewPrivileges": _FLAG,
    "seccomp": {**_TEXT, "enum": ["Disabled", "Strict", "Filter"]},
    "dumpable": {**_said(_FLAG, "null where it cannot be told: it may trace others itself."), "nullable": True},
    "userNamespace": _TEXT,
    "pssBytes": {**_NUMBER, "nullable": True},
    "swapBytes": {**_NUMBER, "nullable": True},
    "openFiles": {**_NUMBER, "nullable": True},
}

_SIGNAL: Json = {
    "signal": _said(_TEXT, "HUP, SIGHUP or 1."),
    "container": _TEXT,
    "pid": _said(_NUMBER, "PID inside the Pod; by default the main process of the container gets the signal."),
    "match": _said(_TEXT, "Part of the command line; * and ? stand for anything."),
    "all": _FLAG,
    "dryRun": _FLAG,
    "allowPause": _said(_FLAG, "/pause may be among the receivers."),
    "receivers": {"type": "array", "readOnly": True, "items": {"type": "object"}},
}

_HOST: Json = {
    "hostPID": _NUMBER,
    "name": _TEXT,
    "command": _TEXTS,
    "cgroup": _TEXT,
    "ended": _said(_TEXT, "Empty while it runs; OOMKilled where the kernel's log says so."),
    "pod": _said(_NAMED, "Absent where it is no process of a Pod of this node."),
    "container": _TEXT,
    "containerID": _TEXT,
    "role": _TEXT,
    "pid": _NUMBER,
    "process": {"$ref": f"#/components/schemas/{_PREFIX}Process"},
}


def _schema(kind: str, properties: Json) -> Json:
    gvk = {"group": "polong.dev", "version": "v1alpha1", "kind": kind}
    heads = {"kind": _TEXT, "apiVersion": _TEXT, "metadata": _NAMED}
    return {"type": "object", "properties": {**heads, **properties}, "x-kubernetes-group-version-kind": [gvk]}


def _schemas() -> Json:
    lost = {"type": "array", "items": {"type": "object", "properties": {"container": _TEXT, "hostPID": _NUMBER}}}
    found = {
        "Process": {"type": "object", "properties": _PROCESS},
        "ProcessList": _schema(
            "ProcessList",
            {
                "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{_PREFIX}Process"}},
                "vanished": {**lost, "description": "Ended while the list was made."},
            },
        ),
        "Signal": _schema("Signal", _SIGNAL),
        "Restart": _schema("Restart", {"container": _TEXT, "containerID": _TEXT, "restartCount": _NUMBER}),
        "HostProcess": _schema("HostProcess", _HOST),
        **{kind: _schema(kind, properties) for kind, properties in openapi_inspection.KINDS.items()},
    }
    return {_PREFIX + name: schema for name, schema in found.items()}


def _operation(action: str, kind: str, *, code: str = "200", body: bool = False, query: tuple[tuple[str, str], ...] = ()) -> Json:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_PREFIX}{kind}"}}}
    operation: Json = {
        "parameters": [{"name": name, "in": "query", "schema": {"type": type_}} for name, type_ in query],
        "responses": {code: {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": "polong.dev", "version": "v1alpha1", "kind": kind},
    }
    if body:
        operation["requestBody"] = {"content": content, "required": True}
    return operation


def document(version: str) -> Json:
    pod = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in ("namespace", "name")]
    listing = (("full", "boolean"), ("watch", "boolean"), ("interval", "number"), ("timeoutSeconds", "integer"))
    paths: Json = {
        f"{_POD}/access": {
            "get": _operation("get", "PodAccess", query=openapi_inspection.ACCESS_QUERY),
            "post": _operation("post", "PodAccess", code="201", body=True),
            "parameters": pod,
        },
        f"{_POD}/files": {
            "get": _operation("get", "PodFile", query=openapi_inspection.FILES_QUERY),
            "post": _operation("post", "PodFile", code="201", query=openapi_inspection.WRITE_QUERY),
            "parameters": pod,
        },
        f"{_POD}/processes": {"get": _operation("get", "ProcessList", query=listing), "parameters": pod},
        f"{_POD}/signal": {
            "post": _operation("post", "Signal", code="201", body=True, query=(("dryRun", "string"),)),
            "parameters": pod,
        },
        f"{_POD}/restart": {"post": _operation("post", "Restart", code="201", body=True), "parameters": pod},
        f"{_BASE}/hostprocesses/{{name}}": {"get": _operation("get", "HostProcess", query=_KILLED), "parameters": pod[1:]},
    }
    return {"openapi": "3.0.0", "info": {"title": "Polong", "version": version}, "paths": paths, "components": {"schemas": _schemas()}}
