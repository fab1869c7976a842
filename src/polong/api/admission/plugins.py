"""Which plugins there are, in order."""

from __future__ import annotations

from polong.api.admission.chain import Chain
from polong.api.admission.defaulttolerationseconds import DefaultTolerationSeconds
from polong.api.admission.namespacelifecycle import NamespaceLifecycle


def chain() -> Chain:
    return Chain((NamespaceLifecycle(), DefaultTolerationSeconds()))
