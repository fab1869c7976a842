"""ServiceAccount tokens of projected volumes: asked for once, kept, and renewed when four fifths of their life, or a day, are over.

Source: kubelet pkg/kubelet/token (requiresRefresh); authentication.k8s.io/v1 TokenRequest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from polong.kit.clock import Clock, parse_rfc3339
from polong.kit.errors import Internal, PolongError, Unavailable
from polong.kubelet.ports import Api
from polong.kubelet.volumes.payload import TokenRequest
from polong.objects import pod as pods

Json = dict[str, Any]

_SHARE = 0.8
_DAY = 24 * 3600.0
_RETRY = 10.0


class Tokens(Protocol):
    async def get(self, pod: Json, request: TokenRequest) -> str:
        """One that is good for a while. Unavailable with the kubelet's text."""
        ...

    def due(self, uid: str, request: TokenRequest) -> float:
        """Seconds until `get` will ask for another one."""
        ...

    def forget(self, uid: str) -> None: ...


@dataclass(frozen=True)
class _Held:
    text: str
    expires: datetime
    renew: float


class TokenManager:
    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._held: dict[tuple[str, TokenRequest], _Held] = {}

    async def get(self, pod: Json, request: TokenRequest) -> str:
        key = (pods.uid(pod), request)
        held = self._held.get(key)
        if held is not None and self._clock.monotonic() < held.renew:
            return held.text
        try:
            fresh = await self._ask(pod, request)
        except PolongError as error:
            if held is not None and self._clock.now() < held.expires:
                # Its successor is late: the next try comes soon.
                self._held[key] = _Held(held.text, held.expires, self._clock.monotonic() + _RETRY)
                return held.text
            raise Unavailable(f"failed to fetch token: {error}") from error
        self._held[key] = fresh
        return fresh.text

    async def _ask(self, pod: Json, request: TokenRequest) -> _Held:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pods.name(pod), "uid": pods.uid(pod)}
        spec: Json = {"expirationSeconds": request.seconds, "boundObjectRef": bound}
        spec["audiences"] = [request.audience] if request.audience else []
        document = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._api.create_token(pods.namespace(pod), request.account, document)
        status = answer.get("status") or {}
        text, until = status.get("token"), status.get("expirationTimestamp")
        if not text or not until:
            raise Internal("the API answered without a token")
        now, expires = self._clock.now(), parse_rfc3339(until)
        life = max((expires - now).total_seconds(), 0.0)
        return _Held(str(text), expires, self._clock.monotonic() + max(min(life * _SHARE, _DAY), 1.0))

    def due(self, uid: str, request: TokenRequest) -> float:
        held = self._held.get((uid, request))
        return max(held.renew - self._clock.monotonic(), 0.0) if held is not None else _RETRY

    def forget(self, uid: str) -> None:
        for key in [each for each in self._held if each[0] == uid]:
            del self._held[key]


_: type[Tokens] = TokenManager
