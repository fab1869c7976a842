"""Which plugins there are, in order."""

from __future__ import annotations

from collections.abc import Callable

from polong.api.admission.chain import Chain, Plugin
from polong.api.admission.defaulttolerationseconds import DefaultTolerationSeconds
from polong.api.admission.escalation import Escalation
from polong.api.admission.limitranger import LimitRanger
from polong.api.admission.namespacelifecycle import NamespaceLifecycle
from polong.api.admission.noderestriction import NodeRestriction
from polong.api.admission.podsecurity import PodSecurity
from polong.api.admission.priority import Priority
from polong.api.admission.reload import Reload
from polong.api.admission.resourcequota import ResourceQuota
from polong.api.admission.runtimeclass import RuntimeClass
from polong.api.admission.serviceaccount import ServiceAccount
from polong.api.admission.sharedprocesses import SharedProcesses
from polong.api.authorization.authorizer import Authorizer
from polong.api.ports import Images
from polong.api.resources.kind import Kind


def chain(
    authorizer: Authorizer, pods: Kind, quotas: ResourceQuota, scheduler: Plugin, images: Callable[[], Images | None], addresses: Plugin
) -> Chain:
    """Quotas come late: they count what all the others have made of an object. A place on a node is taken last of all.
    `images` gives the image store, once there is one; `addresses` are those of Services."""
    return Chain(
        (
            NamespaceLifecycle(),
            LimitRanger(),
            ServiceAccount(),
            NodeRestriction(),
            Priority(),
            DefaultTolerationSeconds(),
            RuntimeClass(),
            PodSecurity(pods),
            Reload(),
            SharedProcesses(images),
            Escalation(authorizer),
            quotas,
            addresses,
            scheduler,
        )
    )
