"""JSON Patch, RFC 6902, over JSON Pointer, RFC 6901. Pure; texts after evanphx/json-patch, which Kubernetes uses."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from polong.kit.errors import BadRequest, Invalid, TooLarge

Value = Any

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024
"""Bytes of JSON that all copies of one patch may add: each can double what is there."""


def apply(document: Value, operations: Value) -> Value:
    """The patched document; `document` stays as it is. BadRequest for a malformed patch, Invalid where it does not fit."""
    if not isinstance(operations, list):
        raise BadRequest("cannot decode the JSON patch: expected a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise BadRequest(f"the allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    result = deepcopy(document)
    copied = 0
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise BadRequest("cannot decode the JSON patch: each operation is an object with op and path")
        if operation.get("op") == "copy" and isinstance(operation.get("from"), str):
            copied += len(json.dumps(_get(result, _pointer(operation["from"]), "copy")))
            if copied > MAX_COPIED:
                raise TooLarge(
                    "Unable to complete the JSON Patch due to accumulative size increase of json-patch copy operations: "
                    f"limit is {MAX_COPIED}, got {copied}"
                )
        result = _one(result, operation)
    return result


def _one(document: Value, operation: dict[str, Value]) -> Value:
    name, path = operation.get("op"), _pointer(operation["path"])
    if name in ("add", "replace", "test") and "value" not in operation:
        raise BadRequest(f"cannot decode the JSON patch: {name} needs a value")
    if name == "add":
        return _add(document, path, deepcopy(operation["value"]))
    if name == "remove":
        return _remove(document, path)
    if name == "replace":
        if not path:
            return deepcopy(operation["value"])
        _get(document, path, "replace")
        return _add(_remove(document, path), path, deepcopy(operation["value"]))
    if name == "test":
        if not _same(_get(document, path, "test"), operation["value"]):
            raise Invalid(f"the server rejected our request due to an error in our request: testing value {operation['path']} failed")
        return document
    if name in ("move", "copy"):
        source = operation.get("from")
        if not isinstance(source, str):
            raise BadRequest(f"cannot decode the JSON patch: {name} needs from")
        value = deepcopy(_get(document, _pointer(source), name))
        if name == "move":
            if path[: len(_pointer(source))] == _pointer(source) and len(path) > len(_pointer(source)):
                raise Invalid(f"cannot move {source} into itself")
            document = _remove(document, _pointer(source))
        return _add(document, path, value)
    raise BadRequest(f"cannot decode the JSON patch: unexpected kind: {name}")


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise BadRequest(f'cannot decode the JSON patch: "{text}" is not a JSON pointer')
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(text: str, length: int, path: list[str]) -> int:
    if not text.isascii() or not text.isdigit() or (len(text) > 1 and text[0] == "0") or int(text) >= length:
        raise _missing(path)
    return int(text)


def _missing(path: list[str]) -> Invalid:
    pointer = "".join("/" + part for part in path)
    return Invalid(f"the server rejected our request due to an error in our request: doc is missing path: {pointer}")


def _get(document: Value, path: list[str], operation: str) -> Value:
    node = document
    for part in path:
        if isinstance(node, list):
            node = node[_index(part, len(node), path)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            raise _missing(path)
    return node


def _add(document: Value, path: list[str], value: Value) -> Value:
    if not path:
        return value
    parent, last = _get(document, path[:-1], "add"), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent) + 1, path), value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise _missing(path)
    return document


def _remove(document: Value, path: list[str]) -> Value:
    if not path:
        return None
    parent, last = _get(document, path[:-1], "remove"), path[-1]
    if isinstance(parent, list):
        del parent[_index(last, len(parent), path)]
    elif isinstance(parent, dict) and last in parent:
        del parent[last]
    else:
        raise _missing(path)
    return document


def _same(left: Value, right: Value) -> bool:
    """Equality of JSON: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
