"""get: one object, in the form asked for."""

from __future__ import annotations

from polong.api.service import Response
from polong.api.verbs import answers
from polong.api.verbs.call import Call


async def get(call: Call) -> Response:
    stored = await call.store.get_stored(call.kind, call.target.namespace, call.target.name)
    return answers.stored_one(call, stored)
