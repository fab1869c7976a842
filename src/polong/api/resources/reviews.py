"""authentication.k8s.io/v1 and authorization.k8s.io/v1: questions in the shape of objects, answered and never stored."""

from __future__ import annotations

from polong.api.resources.kind import Kind
from polong.objects.gvk import Resource

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
GROUPS = frozenset({AUTHENTICATION, AUTHORIZATION})


class _Review(Kind):
    verbs = ("create",)


class SelfSubjectReviews(_Review):
    resource = Resource(AUTHENTICATION, "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
    singular = "selfsubjectreview"


class TokenReviews(_Review):
    resource = Resource(AUTHENTICATION, "v1", "tokenreviews", "TokenReview", namespaced=False)
    singular = "tokenreview"


class LocalSubjectAccessReviews(_Review):
    resource = Resource(AUTHORIZATION, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview")
    singular = "localsubjectaccessreview"


class SelfSubjectAccessReviews(_Review):
    resource = Resource(AUTHORIZATION, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False)
    singular = "selfsubjectaccessreview"


class SelfSubjectRulesReviews(_Review):
    resource = Resource(AUTHORIZATION, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False)
    singular = "selfsubjectrulesreview"


class SubjectAccessReviews(_Review):
    resource = Resource(AUTHORIZATION, "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)
    singular = "subjectaccessreview"


ALL: tuple[type[Kind], ...] = (
    SelfSubjectReviews,
    TokenReviews,
    LocalSubjectAccessReviews,
    SelfSubjectAccessReviews,
    SelfSubjectRulesReviews,
    SubjectAccessReviews,
)
