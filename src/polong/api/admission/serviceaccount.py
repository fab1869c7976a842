"""ServiceAccount: every Pod has one, its token where nobody forbids it, and its image pull secrets.

Source: plugin/pkg/admission/serviceaccount/admission.go.
"""

from __future__ import annotations

from typing import Any

from polong.api.admission.chain import Attempt, Plugin
from polong.api.resources.serviceaccounts import DEFAULT, ServiceAccounts
from polong.kit import ids
from polong.objects import pod as pods
from polong.objects import podreferences
from polong.objects.gvk import PODS

Json = dict[str, Any]

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
_PREFIX = "kube-api-access-"
_ACCOUNTS = ServiceAccounts()


class ServiceAccount(Plugin):
    async def mutate(self, attempt: Attempt) -> None:
        if not attempt.creates(PODS) or pods.mirror_of(attempt.obj):
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
        if _automounts(spec, account):
            _mount(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]

    async def validate(self, attempt: Attempt) -> None:
        """What stands for a static Pod gives nobody a token or a secret."""
        if attempt.creates(PODS) and pods.mirror_of(attempt.obj):
            found = podreferences.kinds(attempt.obj)
            for plural, text in (("serviceaccounts", "service accounts"), ("secrets", "secrets")):
                if plural in found:
                    raise attempt.forbidden(f"a mirror pod may not reference {text}")


def _automounts(spec: Json, account: Json) -> bool:
    """The Pod's word goes before the account's."""
    for holder in (spec, account):
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True


def _mount(spec: Json) -> None:
    """Token, CA and namespace, read only, for every container that has nothing of its own there; defaulted, as it is after defaulting."""
    containers = [container for field in ("initContainers", "containers") for container in spec.get(field) or ()]
    wanting = [one for one in containers if all(mount.get("mountPath") != MOUNT_PATH for mount in one.get("volumeMounts") or ())]
    if not wanting:
        return
    taken = {volume.get("name") for volume in spec.get("volumes") or ()}
    existing = next((name for name in taken if str(name).startswith(_PREFIX)), None)
    name = existing or _PREFIX + ids.name_suffix()
    if existing is None:
        spec.setdefault("volumes", []).append({"name": name, "projected": _sources()})
    for container in wanting:
        container.setdefault("volumeMounts", []).append({"name": name, "readOnly": True, "mountPath": MOUNT_PATH})


def _sources() -> Json:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 0o644,
    }
