"""Sets of fields in the form of FieldsV1: nested objects whose keys are steps of a path.

A step is `f:name` (a field), `k:{"name":"c"}` (the item of a list with these keys), `v:"x"` (an element of a set). A node without
children is a member; one with children is a member where it has the key ".". A set as a whole never is: {} is the empty set. Nothing
here changes its arguments, and results share parts with them. Source: apimachinery FieldsV1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

Node = dict[str, Any]

SELF = "."


def is_member(node: Node) -> bool:
    return not node or SELF in node


def union(left: Node, right: Node) -> Node:
    if not left or not right:
        return left or right
    result = dict(left)
    for step, theirs in right.items():
        mine = result.get(step)
        result[step] = theirs if mine is None else _union(mine, theirs)
    return result


def _union(left: Node, right: Node) -> Node:
    if not left and not right:
        return left
    if not left or not right:
        return {SELF: {}, **(left or right)}
    return union(left, right)


def difference(left: Node, right: Node) -> Node:
    """`left` without the members of `right`."""
    return _difference(left, right, member=False) or {}


def _difference(left: Node, right: Node, *, member: bool) -> Node | None:
    children: Node = {}
    for step, mine in left.items():
        if step == SELF:
            continue
        theirs = right.get(step)
        kept = mine if theirs is None else _difference(mine, theirs, member=is_member(mine) and not is_member(theirs))
        if kept is not None:
            children[step] = kept
    return _node(children, member=member)


def intersection(left: Node, right: Node) -> Node:
    return _intersection(left, right, member=False) or {}


def _intersection(left: Node, right: Node, *, member: bool) -> Node | None:
    children: Node = {}
    for step, mine in left.items():
        theirs = right.get(step)
        if theirs is None or step == SELF:
            continue
        kept = _intersection(mine, theirs, member=is_member(mine) and is_member(theirs))
        if kept is not None:
            children[step] = kept
    return _node(children, member=member)


def _node(children: Node, *, member: bool) -> Node | None:
    if not children:
        return {} if member else None
    return {SELF: {}, **children} if member else children


def without(fields: Node, names: Sequence[str]) -> Node:
    """Without these top-level fields and all below them."""
    return {step: node for step, node in fields.items() if step not in names}


def paths(fields: Node, prefix: str = "") -> Iterator[str]:
    """Members as Kubernetes prints them: `.spec.containers[name="c"].image`."""
    for step, node in fields.items():
        if step == SELF:
            continue
        path = prefix + _text(step)
        if is_member(node):
            yield path
        yield from paths(node, path)


def _text(step: str) -> str:
    kind, _, content = step.partition(":")
    if kind == "f":
        return "." + content
    if kind == "v":
        return f"[={content}]"
    if kind == "k":
        pairs = json.loads(content)
        return "[" + ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in pairs.items()) + "]"
    return f"[{content}]"


def is_valid(fields: object, depth: int = 64) -> bool:
    """Whether this is FieldsV1 at all: what a client sends as managedFields."""
    if not isinstance(fields, dict) or depth == 0:
        return False
    return all(_is_step(step) and is_valid(node, depth - 1) for step, node in fields.items())


def _is_step(step: object) -> bool:
    if not isinstance(step, str) or (step != SELF and step[:2] not in ("f:", "k:", "v:", "i:")):
        return False
    if step[:2] not in ("k:", "v:"):
        return True
    try:
        content = json.loads(step[2:])
    except (ValueError, RecursionError):
        return False
    return step[:2] == "v:" or isinstance(content, dict)
