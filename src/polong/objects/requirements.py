"""Selectors as objects have them: matchLabels, matchExpressions, node selector terms. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polong.objects.selectors import LabelSelector, Requirement

Json = dict[str, Any]

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


def _requirement(expression: Json) -> Requirement:
    return Requirement(
        str(expression.get("key", "")),
        _OPERATORS.get(str(expression.get("operator")), "in"),
        frozenset(str(value) for value in expression.get("values") or ()),
    )


def label_selector(selector: Json | None) -> LabelSelector | None:
    """metav1.LabelSelector; None selects nothing, an empty one everything."""
    if selector is None:
        return None
    exact = [Requirement(key, "in", frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items()]
    return LabelSelector((*exact, *(_requirement(each) for each in selector.get("matchExpressions") or ())))


def node_matches(terms: Sequence[Json], name: str, labels: Mapping[str, str]) -> bool:
    """Whether one of nodeSelectorTerms takes the node in; an empty term takes none."""
    return any(_term(term, name, labels) for term in terms)


def _term(term: Json, name: str, labels: Mapping[str, str]) -> bool:
    expressions, on_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not on_fields:
        return False
    if not all(_requirement(each).matches(labels) for each in expressions):
        return False
    return all(_requirement(each).matches({"metadata.name": name}) for each in on_fields)
