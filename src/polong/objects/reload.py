"""Reload on change: the annotation `polong.dev/reload` says who gets which signal when a ConfigMap or Secret changes under it. Pure.

    polong.dev/reload: "web-config=nginx:HUP"
    polong.dev/reload: "configmap/web-config=nginx:HUP, secret/tls=nginx:HUP:nginx: master*"

An entry is `<object>=<container>:<signal>[:<pattern>]`; several are separated by commas or line ends. The object may be written
`configmap/<name>` or `secret/<name>` where one name is both. Without a pattern it is the container's main process, else every process of
it whose command line holds the pattern (`*` and `?` stand for anything).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from polong.kit import signals
from polong.objects import pod as pods
from polong.objects import podreferences
from polong.objects.podreferences import CONFIG_MAP, SECRET, Reference

Json = dict[str, Any]

ANNOTATION = "polong.dev/reload"
_KINDS = {"configmap": (CONFIG_MAP,), "secret": (SECRET,), "": (CONFIG_MAP, SECRET)}
_MOST = 64


@dataclass(frozen=True)
class Rule:
    """One entry: a change of one of `objects` (of a name: a ConfigMap, a Secret or both) sends `signal`."""

    objects: frozenset[Reference]
    container: str
    signal: int
    pattern: str = ""


def parse(text: str) -> tuple[list[Rule], list[str]]:
    """The rules, and what is wrong with the entries that are none."""
    rules, problems = [], []
    entries = [each.strip() for each in re.split(r"[,\n]", text) if each.strip()]
    for entry in entries[:_MOST]:
        try:
            rules.append(_rule(entry))
        except ValueError as error:
            problems.append(f"entry {entry[:80]!r} is ignored: {error}")
    if len(entries) > _MOST:
        problems.append(f"only the first {_MOST} of {len(entries)} entries are taken")
    return rules, problems


def rules(pod: Json) -> list[Rule]:
    """Those of the Pod's annotation that can be understood."""
    return parse(_annotation(pod))[0]


def warnings(pod: Json) -> list[str]:
    """One line for each thing in the annotation that will not work as it is written."""
    found, problems = parse(_annotation(pod))
    problems += [problem for rule in found for problem in _useless(pod, rule)]
    return [f'metadata.annotations["{ANNOTATION}"]: {each}' for each in problems]


def _annotation(pod: Json) -> str:
    return str((pod.get("metadata", {}).get("annotations") or {}).get(ANNOTATION) or "")


def _rule(entry: str) -> Rule:
    source, equals, rest = entry.partition("=")
    container, colon, action = rest.partition(":")
    word, more, pattern = action.partition(":")
    if not (equals and colon and source.strip() and container.strip() and word.strip()):
        raise ValueError("it is not <configmap or secret>=<container>:<signal>[:<pattern>]")
    if more and not pattern.strip():
        raise ValueError("its pattern is empty")
    prefix, slash, name = source.strip().rpartition("/")
    kinds = _KINDS.get(prefix.lower())
    if kinds is None or (slash and not prefix) or not name:
        raise ValueError(f"{source.strip()[:80]!r} is not a name, configmap/<name> or secret/<name>")
    number = signals.parse(word.strip())
    return Rule(frozenset(Reference(kind, name) for kind in kinds), container.strip(), number, pattern.strip())


def _useless(pod: Json, rule: Rule) -> Iterator[str]:
    name = next(iter(rule.objects)).name
    if pods.find_container(pod, rule.container) is None:
        names = [each["name"] for _, _, each in pods.all_containers(pod)]
        near = difflib.get_close_matches(rule.container, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(names)}"
        yield f"the pod has no container {rule.container[:63]!r}; {hint}"
        return
    carriers = {each["name"] for each in pods.spec(pod).get("volumes") or () if podreferences.of_volume(each) & rule.objects}
    if not carriers:
        yield f"no volume shows {name!r}: environment variables never change while a container runs, so nothing would tell of a change"
        return
    mounts = [
        mount for _, _, container in pods.all_containers(pod) for mount in container.get("volumeMounts") or () if mount["name"] in carriers
    ]
    if mounts and all(mount.get("subPath") or mount.get("subPathExpr") for mount in mounts):
        yield f"{name!r} is mounted with subPath alone: such a mount keeps its content until the container is made again"
