"""Which plugins there are, in order."""

from __future__ import annotations

from polong.api.admission.chain import Chain
from polong.api.admission.defaulttolerationseconds import DefaultTolerationSeconds
from polong.api.admission.escalation import Escalation
from polong.api.admission.namespacelifecycle import NamespaceLifecycle
from polong.api.authorization.authorizer import Authorizer


def chain(authorizer: Authorizer) -> Chain:
    return Chain((NamespaceLifecycle(), DefaultTolerationSeconds(), Escalation(authorizer)))
