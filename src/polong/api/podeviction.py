"""pods/eviction and pods/binding: what drains a node, and what would fill it.

Source: pkg/registry/core/pod/storage (eviction.go, storage.go BindingREST). There are no disruption budgets here to hold an eviction up.
"""

from __future__ import annotations

from typing import Any

from polong.api import status
from polong.api.resources.kind import Kind
from polong.api.service import Response
from polong.api.verbs import body
from polong.api.verbs.call import Call
from polong.api.verbs.delete import delete_one
from polong.api.verbs.update import ATTEMPTS
from polong.kit.clock import rfc3339
from polong.kit.errors import BadRequest, Conflict
from polong.objects import conditions, decode
from polong.objects import pod as pods

Json = dict[str, Any]

SUBRESOURCES = frozenset({"binding", "eviction"})
_CONDITION = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}


async def handle(call: Call) -> Response:
    """POST of an Eviction or a Binding."""
    return await (evict(call) if call.target.subresource == "eviction" else bind(call))


async def evict(call: Call) -> Response:
    """Delete the Pod as its Eviction's deleteOptions say, with the condition that tells why."""
    given = body.document(call)
    version = given.get("apiVersion", "") if isinstance(given, dict) else ""
    if version not in ("policy/v1", "") or (isinstance(given, dict) and given.get("kind") not in ("Eviction", None)):
        raise BadRequest("the object provided is unrecognized (must be of type Eviction): policy/v1 Eviction is what is served")
    eviction = decode.decode_object(given, "policy/v1", "Eviction").obj
    _of_the_url(call, eviction)
    name = call.target.name
    options = eviction.get("deleteOptions") or {}
    if call.dry_run or "All" in (options.get("dryRun") or ()):
        options["dryRun"] = ["All"]
    else:
        await _mark(call)
    await delete_one(call, call.target.namespace, name, options)
    return Response(201, {**status.status("Success", 201), "code": 201})


def _of_the_url(call: Call, given: Json) -> None:
    """The body may repeat the name and the namespace of the path, not say others."""
    metadata = given["metadata"]
    if metadata.get("name") not in (None, "", call.target.name):
        raise BadRequest(f"name in URL does not match name in {given['kind']} object")
    if metadata.get("namespace") not in (None, "", call.target.namespace):
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


async def _mark(call: Call) -> None:
    for attempt in range(ATTEMPTS):
        old, revision = await call.store.get(call.kind, call.target.namespace, call.target.name)
        if pods.is_finished(old) or pods.is_terminating(old):
            return
        kept = [one for one in pods.status(old).get("conditions") or () if one.get("type") != _CONDITION["type"]]
        condition = {**_CONDITION, "lastProbeTime": None, "lastTransitionTime": rfc3339(call.now)}
        marked = {**old, "status": {**pods.status(old), "conditions": [*kept, condition]}}
        try:
            await call.store.update(call.kind, marked, revision)
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return


async def bind(call: Call) -> Response:
    """A scheduler other than the default one gives a Pod of its own a node."""
    kind: Kind = call.kind
    binding = decode.decode_object(body.document(call), "v1", "Binding").obj
    _of_the_url(call, binding)
    target = binding.get("target") or {}
    if not target.get("name"):
        raise BadRequest(f'Binding "{call.target.name}" is invalid: target.name: Required value')
    for attempt in range(ATTEMPTS):
        pod, revision = await call.store.get(kind, call.target.namespace, call.target.name)
        if why := _unbindable(pod, binding):
            raise Conflict(
                f'Operation cannot be fulfilled on pods/binding "{call.target.name}": {why}',
                details={"name": call.target.name, "kind": "pods/binding"},
            )
        if call.dry_run:
            break
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        listed = conditions.with_condition(pods.status(pod).get("conditions"), scheduled, rfc3339(call.now))
        spec = {**pods.spec(pod), "nodeName": target["name"]}
        try:
            await call.store.update(kind, {**pod, "spec": spec, "status": {**pods.status(pod), "conditions": listed}}, revision)
            break
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
    return Response(201, {**status.status("Success", 201), "code": 201})


def _unbindable(pod: Json, binding: Json) -> str:
    """Why the Pod cannot be bound; empty where it can."""
    name, uid = pods.name(pod), (binding.get("metadata") or {}).get("uid")
    if uid and uid != pods.uid(pod):
        return f"Precondition failed: UID in precondition: {uid}, UID in object meta: {pods.uid(pod)}"
    if pods.is_terminating(pod):
        return f"pod {name} is being deleted, cannot be assigned to a host"
    if pods.spec(pod).get("schedulingGates"):
        return f"pod {name} has non-empty .spec.schedulingGates"
    node = pods.spec(pod).get("nodeName", "")
    return f'pod {name} is already assigned to node "{node}"' if node else ""
