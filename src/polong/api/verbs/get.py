"""get: one object, in the form asked for."""

from __future__ import annotations

from polong.api.service import Response
from polong.api.verbs import answers
from polong.api.verbs.call import Call


async def get(call: Call) -> Response:
    obj, _ = await call.store.get(call.kind, call.target.namespace, call.target.name)
    return answers.one(call, obj)
