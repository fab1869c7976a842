"""ServiceAccount: every Pod has one, and takes its image pull secrets from it. Source: plugin/pkg/admission/serviceaccount."""

from __future__ import annotations

from polong.api.admission.chain import Attempt, Plugin
from polong.api.resources.serviceaccounts import DEFAULT, ServiceAccounts
from polong.objects.gvk import PODS

_ACCOUNTS = ServiceAccounts()


class ServiceAccount(Plugin):
    async def mutate(self, attempt: Attempt) -> None:
        if not attempt.creates(PODS):
            return
        spec = attempt.obj["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT
        # Kubernetes keeps the deprecated name in step with the new one.
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        found = await attempt.store.find(_ACCOUNTS, attempt.namespace, name)
        if found is None:
            where = f"{attempt.namespace}/{name}"
            raise attempt.forbidden(f'error looking up service account {where}: serviceaccount "{name}" not found')
        account = found[0]
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]
