"""Requests that are no HTTP: answered as every other refusal, with a Status, and never a trace in the log, which anybody could fill."""

from __future__ import annotations

import logging

import msgspec
from aiohttp import web

from polong.kit.errors import BadRequest, Internal
from polong.objects.status import failure

_log = logging.getLogger(__name__)


class _Handler(web.RequestHandler):
    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun: the connection is broken")
        if status >= 500:
            _log.error("request from %s failed", request.remote, exc_info=exc)
            document = failure(Internal("see the node's log"))
        else:
            why = " ".join((message or str(exc)).split())
            _log.info("no HTTP from %s: %.200r", request.remote, why)
            document = failure(BadRequest(f"cannot read the request: {why[:200]}"))
        headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        answer = web.Response(status=document["code"], body=msgspec.json.encode(document), headers=headers)
        answer.force_close()
        return answer


class WebServer(web.Server):
    """aiohttp's, with answers of our own to what its parser refuses."""

    def __call__(self) -> web.RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)
