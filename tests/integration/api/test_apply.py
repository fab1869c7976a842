"""`kubectl apply --server-side` and what belongs to it, with every kubectl here."""

from __future__ import annotations

import json
from typing import Any

from .conftest import Api, Kubectl
from .test_kubectl import POD

Json = dict[str, Any]
SSA = ("apply", "--server-side", "-f", "-")


async def live(kubectl: Kubectl) -> Json:
    found: Json = json.loads(await kubectl("get", "pod", "nginx", "-o", "json", "--show-managed-fields"))
    return found


def managers(obj: Json) -> list[tuple[str, str]]:
    return [(one["manager"], one["operation"]) for one in obj["metadata"]["managedFields"]]


async def test_apply_conflict_force_and_diff(kubectl: Kubectl) -> None:
    assert await kubectl(*SSA, stdin=POD) == "pod/nginx serverside-applied\n"
    assert await kubectl(*SSA, stdin=POD) == "pod/nginx serverside-applied\n"
    assert managers(await live(kubectl)) == [("kubectl", "Apply")]
    assert "managedFields" not in await kubectl("get", "pod", "nginx", "-o", "yaml")
    other = POD.replace("app: web", "app: site")
    await kubectl(*SSA, "--field-manager=ci", stdin=other, code=1)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .metadata.labels.app' in kubectl.error
    assert "--force-conflicts" in kubectl.error
    changed = await kubectl("diff", "--server-side", "--force-conflicts", "--field-manager=ci", "-f", "-", stdin=other, code=1)
    assert "-    app: web" in changed
    assert "+    app: site" in changed
    assert "managedFields" not in changed
    assert await kubectl("diff", "--server-side", "-f", "-", stdin=POD) == ""
    assert "serverside-applied (server dry run)" in await kubectl(*SSA, "--dry-run=server", stdin=POD.replace("app: web", "app: web2"))
    assert (await live(kubectl))["metadata"]["labels"] == {"app": "web"}
    await kubectl(*SSA, "--field-manager=ci", "--force-conflicts", stdin=other)
    await kubectl("label", "pod", "nginx", "team=blue")
    await kubectl(*SSA, "--field-manager=ci", "--force-conflicts", stdin=other.replace("app: site", "{}").replace("{{}}", "{}"))
    after = await live(kubectl)
    assert after["metadata"]["labels"] == {"team": "blue"}
    assert set(managers(after)) == {("kubectl", "Apply"), ("ci", "Apply"), ("kubectl-label", "Update")}


async def test_from_client_side_apply_and_back(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=POD)
    assert ("kubectl-client-side-apply", "Update") in managers(await live(kubectl))
    await kubectl(*SSA, stdin=POD.replace("app: web", "tier: front"))
    await kubectl(*SSA, stdin=POD.replace("app: web", "tier: front"))
    after = await live(kubectl)
    assert after["metadata"]["labels"] == {"tier": "front"}
    assert ("kubectl-client-side-apply", "Update") not in managers(after)
    assert await kubectl("apply", "-f", "-", stdin=POD.replace("app: web", "tier: back")) == "pod/nginx configured\n"
    assert (await live(kubectl))["metadata"]["labels"] == {"tier": "back"}


async def test_unknown_fields_are_named(kubectl: Kubectl, api: Api) -> None:
    await kubectl(*SSA, stdin=POD.replace("stdin: true", "stdln: true"), code=1)
    assert "stdln" in kubectl.error
    await kubectl(*SSA, stdin=POD + "  - {name: shell, image: busybox}\n", code=1)
    assert 'duplicate entries for key [name="shell"]' in kubectl.error
