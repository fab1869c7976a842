"""NodeRestriction: a node creates no Pods but mirrors of its static ones, which refer to nothing that the API holds.

Source: plugin/pkg/admission/noderestriction/admission.go (texts included).
"""

from __future__ import annotations

from polong.api import nodeauthorizer
from polong.api.admission.chain import Attempt, Plugin
from polong.kit.errors import Forbidden
from polong.objects import pod as pods
from polong.objects import podreferences
from polong.objects.gvk import PODS


class NodeRestriction(Plugin):
    async def validate(self, attempt: Attempt) -> None:
        if not attempt.creates(PODS) or attempt.user is None or not nodeauthorizer.is_node(attempt.user):
            return
        node, pod = attempt.user.name.removeprefix(nodeauthorizer.PREFIX), attempt.obj
        if not pods.mirror_of(pod):
            raise Forbidden(f'pod does not have "{pods.MIRROR}" annotation, node "{node}" can only create mirror pods', reason="Forbidden")
        if pods.spec(pod).get("nodeName") != node:
            raise Forbidden(f'node "{node}" can only create pods with spec.nodeName set to itself', reason="Forbidden")
        owners = [(each.get("kind"), each.get("name")) for each in pod["metadata"].get("ownerReferences") or ()]
        if owners != [("Node", node)]:
            raise Forbidden(f'node "{node}" can only create pods with an owner reference set to itself', reason="Forbidden")
        if referred := podreferences.kinds(pod):
            raise Forbidden(f'node "{node}" can not create pods that reference {referred[0]}', reason="Forbidden")
