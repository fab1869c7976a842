"""core/v1 ServiceAccount: who a Pod is to the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.api.resources import metadata
from polong.api.resources.kind import Kind, Subresource
from polong.api.tables.columns import AGE, NAME, Column
from polong.kit.errors import Cause
from polong.objects.gvk import Resource

Json = dict[str, Any]

DEFAULT = "default"
"""The account of Pods that name none; each namespace has it."""


class ServiceAccounts(Kind):
    resource = Resource("", "v1", "serviceaccounts", "ServiceAccount")
    singular = "serviceaccount"
    short_names = ("sa",)
    subresources = (Subresource("token", "TokenRequest", ("create",), api_version="authentication.k8s.io/v1"),)
    columns = (
        NAME,
        Column("Secrets", lambda account, _: len(account.get("secrets") or ()), description="How many secrets it names."),
        AGE,
    )

    def validate(self, obj: Json) -> Sequence[Cause]:
        return metadata.validate(obj, self.name_errors, namespaced=True)
