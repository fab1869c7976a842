"""The kinds that this API serves, by group, version and plural. A later kind is one file and one line here."""

from __future__ import annotations

from collections.abc import Iterator

from polong.api.resources import reviews
from polong.api.resources.configmaps import ConfigMaps
from polong.api.resources.endpoints import Endpoints, EndpointSlices
from polong.api.resources.events import Events, EventsV1
from polong.api.resources.kind import Kind
from polong.api.resources.leases import Leases
from polong.api.resources.limitranges import LimitRanges
from polong.api.resources.namespaces import Namespaces
from polong.api.resources.nodes import Nodes
from polong.api.resources.persistentvolumeclaims import PersistentVolumeClaims
from polong.api.resources.pods import Pods
from polong.api.resources.podtemplates import PodTemplates
from polong.api.resources.priorityclasses import PriorityClasses
from polong.api.resources.rbac import ClusterRoleBindings, ClusterRoles, RoleBindings, Roles
from polong.api.resources.resourcequotas import ResourceQuotas
from polong.api.resources.runtimeclasses import RuntimeClasses
from polong.api.resources.secrets import Secrets
from polong.api.resources.serviceaccounts import ServiceAccounts
from polong.api.resources.services import Services


class Registry:
    """All kinds; `groups` in the order of discovery: core, then by name."""

    def __init__(self, node_name: str) -> None:
        kinds: tuple[Kind, ...] = (
            Pods(node_name),
            Nodes(),
            Namespaces(),
            ConfigMaps(),
            Secrets(),
            ServiceAccounts(),
            PersistentVolumeClaims(),
            Services(),
            Endpoints(),
            EndpointSlices(),
            LimitRanges(),
            ResourceQuotas(),
            PodTemplates(),
            RuntimeClasses(),
            PriorityClasses(),
            Events(),
            EventsV1(),
            Leases(),
            Roles(),
            ClusterRoles(),
            RoleBindings(),
            ClusterRoleBindings(),
            *(review() for review in reviews.ALL),
        )
        self._kinds = {(kind.resource.group, kind.resource.version, kind.resource.plural): kind for kind in kinds}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    @property
    def groups(self) -> list[tuple[str, str]]:
        """(group, version) pairs."""
        return sorted({(group, version) for group, version, _ in self._kinds})

    def of_group(self, group: str, version: str) -> list[Kind]:
        found = [kind for kind in self if (kind.resource.group, kind.resource.version) == (group, version)]
        return sorted(found, key=lambda kind: kind.resource.plural)
