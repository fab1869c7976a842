"""Whether a Pod gets along with the Pods around it: affinity, anti-affinity, spread. Pure.

Source: pkg/scheduler/framework/plugins (interpodaffinity, podtopologyspread).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from polong.api.scheduling.fit import Placed, required
from polong.objects import pod as pods
from polong.objects import requirements
from polong.objects.selectors import LabelSelector, Requirement

Json = dict[str, Any]

NamespaceLabels = Callable[[str], Mapping[str, str]]


class Surroundings:
    """`placed` are the Pods of all nodes, `shunning` those of them that keep others away, `nodes` those by name, `labels_of` gives a
    namespace's labels."""

    def __init__(
        self, placed: Collection[Placed], shunning: Collection[Placed], nodes: Mapping[str, Json], labels_of: NamespaceLabels
    ) -> None:
        self._placed = placed
        self._shunning = shunning
        self._nodes = nodes
        self._labels_of = labels_of

    def refusals(self, pod: Json, wanted: Placed, node: Json) -> list[str]:
        """The first reason against this node."""
        if not self._affinity(required(pod, "podAffinity"), wanted, node):
            return ["node(s) didn't match pod affinity rules"]
        if any(self._near(wanted, term, node) for term in wanted.shuns):
            return ["node(s) didn't match pod anti-affinity rules"]
        if self._unwanted(wanted, node):
            return ["node(s) didn't satisfy existing pods anti-affinity rules"]
        return self._spread(pod, wanted, node)

    def _domain(self, node: Json, key: str) -> str | None:
        found: str | None = (node["metadata"].get("labels") or {}).get(key)
        return found

    def _near(self, wanted: Placed, term: Json, node: Json) -> bool:
        """Whether a Pod that the term means runs in the node's domain."""
        domain = self._domain(node, term.get("topologyKey", ""))
        return domain is not None and any(
            self._matches(wanted, term, each) and self._domain_of(each, term.get("topologyKey", "")) == domain for each in self._placed
        )

    def _domain_of(self, placed: Placed, key: str) -> str | None:
        node = self._nodes.get(placed.node)
        return None if node is None else self._domain(node, key)

    def _affinity(self, terms: Sequence[Json], wanted: Placed, node: Json) -> bool:
        if all(self._near(wanted, term, node) for term in terms):
            return True
        # The first of its kind would otherwise never start.
        alone = not any(self._matches(wanted, term, each) for term in terms for each in self._placed)
        here = all(self._domain(node, term.get("topologyKey", "")) is not None for term in terms)
        return alone and here and all(self._matches(wanted, term, wanted) for term in terms)

    def _unwanted(self, wanted: Placed, node: Json) -> bool:
        for each in self._shunning:
            for term in each.shuns:
                key = term.get("topologyKey", "")
                domain = self._domain(node, key)
                if domain is not None and self._matches(each, term, wanted) and self._domain_of(each, key) == domain:
                    return True
        return False

    def _matches(self, owner: Placed, term: Json, other: Placed) -> bool:
        """Whether a term of `owner` means `other`."""
        chosen = requirements.label_selector(term.get("namespaceSelector"))
        named = term.get("namespaces") or (() if chosen is not None else (owner.namespace,))
        if other.namespace not in named and not (chosen is not None and chosen.matches(self._labels_of(other.namespace))):
            return False
        selector = _with_keys(requirements.label_selector(term.get("labelSelector")), term, owner)
        return selector is not None and selector.matches(other.labels)

    # --- spread -----------------------------------------------------------------------------------------------------------------------

    def _spread(self, pod: Json, wanted: Placed, node: Json) -> list[str]:
        for constraint in pods.spec(pod).get("topologySpreadConstraints") or ():
            if constraint.get("whenUnsatisfiable") != "DoNotSchedule":
                continue
            key = constraint.get("topologyKey", "")
            domain = self._domain(node, key)
            if domain is None:
                return ["node(s) didn't match pod topology spread constraints (missing required label)"]
            selector = _with_keys(requirements.label_selector(constraint.get("labelSelector")), constraint, wanted)
            counts = self._counts(wanted, key, selector)
            fewest = 0 if len(counts) < int(constraint.get("minDomains") or 1) else min(counts.values(), default=0)
            own = 1 if selector is not None and selector.matches(wanted.labels) else 0
            if counts.get(domain, 0) + own - fewest > int(constraint.get("maxSkew", 1)):
                return ["node(s) didn't match pod topology spread constraints"]
        return []

    def _counts(self, wanted: Placed, key: str, selector: LabelSelector | None) -> dict[str, int]:
        counts = {domain: 0 for node in self._nodes.values() if (domain := self._domain(node, key)) is not None}
        for each in self._placed:
            domain = self._domain_of(each, key)
            same = each.namespace == wanted.namespace and not each.is_terminating
            if domain is not None and same and selector is not None and selector.matches(each.labels):
                counts[domain] += 1
        return counts


def _with_keys(selector: LabelSelector | None, term: Json, owner: Placed) -> LabelSelector | None:
    """matchLabelKeys and mismatchLabelKeys take their values from the Pod that has the term."""
    if selector is None:
        return None
    own = owner.labels
    more = (
        Requirement(key, operator, frozenset({own[key]}))
        for field, operator in (("matchLabelKeys", "in"), ("mismatchLabelKeys", "notin"))
        for key in term.get(field) or ()
        if key in own
    )
    return LabelSelector((*selector.requirements, *more))
