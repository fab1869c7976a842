"""Policy rules of rbac.authorization.k8s.io/v1, compiled. Pure. Source: pkg/apis/rbac/v1/evaluation_helpers.go,
pkg/registry/rbac/validation (rule.go, policy_comparator.go)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

ALL = "*"


@dataclass(frozen=True)
class Attributes:
    """What somebody wants: a verb on a resource, or on a `path` that is of none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def combined(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True)
class Rule:
    """One PolicyRule."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    def allows(self, wanted: Attributes) -> bool:
        if ALL not in self.verbs and wanted.verb not in self.verbs:
            return False
        if wanted.path:
            return any(_path_matches(pattern, wanted.path) for pattern in self.paths)
        if ALL not in self.groups and wanted.group not in self.groups:
            return False
        if self.names and wanted.name not in self.names:
            return False
        resources = self.resources
        return ALL in resources or wanted.combined in resources or bool(wanted.subresource and f"*/{wanted.subresource}" in resources)

    def covers(self, part: Rule) -> bool:
        """Whether whoever holds this rule holds `part`, a rule of one verb, group, resource and name or of one path."""
        if not (ALL in self.verbs or part.verbs <= self.verbs):
            return False
        if part.paths:
            return all(any(_path_matches(mine, path) for mine in self.paths) for path in part.paths)
        return (
            (ALL in self.groups or part.groups <= self.groups)
            and all(_resource_covered(self.resources, resource) for resource in part.resources)
            and (not self.names or (bool(part.names) and part.names <= self.names))
        )

    def parts(self) -> Iterator[Rule]:
        """The rule taken apart, so that several other rules together can cover it."""
        for verb in sorted(self.verbs):
            for path in sorted(self.paths):
                yield Rule(frozenset({verb}), paths=frozenset({path}))
            for group in sorted(self.groups):
                for resource in sorted(self.resources):
                    for name in sorted(self.names) or ("",):
                        names = frozenset({name}) if name else frozenset[str]()
                        yield Rule(frozenset({verb}), frozenset({group}), frozenset({resource}), names)

    def __str__(self) -> str:
        """As Kubernetes prints rules in refusals: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`."""
        named = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.paths),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{quoted(sorted(values))}" for name, values in named if values) + "}"


def quoted(values: Sequence[str]) -> str:
    """Go's %q of a list."""
    return "[" + " ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in (ALL, path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def _resource_covered(held: frozenset[str], wanted: str) -> bool:
    _, slash, subresource = wanted.partition("/")
    return ALL in held or wanted in held or bool(slash and f"*/{subresource}" in held)


def compile_rule(rule: Json) -> Rule:
    return Rule(*(frozenset(rule.get(name) or ()) for name in ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")))


def compile_rules(rules: Iterable[Json] | None) -> tuple[Rule, ...]:
    return tuple(compile_rule(rule) for rule in rules or ())


def uncovered(held: Sequence[Rule], asked: Iterable[Rule]) -> list[Rule]:
    """The parts of `asked` that nobody who holds `held` has, put together again by what they are about."""
    missing: dict[tuple[frozenset[str], ...], set[str]] = {}
    for rule in asked:
        for part in rule.parts():
            if not any(mine.covers(part) for mine in held):
                missing.setdefault((part.groups, part.resources, part.names, part.paths), set()).update(part.verbs)
    return [Rule(frozenset(verbs), *about) for about, verbs in missing.items()]


def merged(many: Iterable[Sequence[Mapping[str, Any]]]) -> list[Json]:
    """Rules of several roles in one list, each once."""
    found: list[Json] = []
    for rules in many:
        found += [dict(rule) for rule in rules if rule not in found]
    return found
