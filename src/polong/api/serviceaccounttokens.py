"""Tokens of ServiceAccounts: TokenRequest gives one, `Accounts.user` says whose one is, as long as all that it is bound to lives.

Source: pkg/registry/core/serviceaccount/storage/token.go, pkg/serviceaccount (claims.go, legacy.go), pkg/apis/authentication/validation.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from polong.api import nodeauthorizer, status
from polong.api.authorization.rbac import ACCOUNT_PREFIX
from polong.api.objectstore import ObjectStore
from polong.api.resources import fields
from polong.api.resources.kind import Kind
from polong.api.resources.secrets import Secrets
from polong.api.resources.serviceaccounts import ServiceAccounts
from polong.api.service import Response, User
from polong.api.tokens import Tokens
from polong.api.verbs import body
from polong.api.verbs.call import Call
from polong.kit.clock import Clock, parse_rfc3339, rfc3339
from polong.kit.errors import BadRequest, Conflict, NotFound, Unauthorized
from polong.objects import decode
from polong.objects import pod as pods
from polong.objects.gvk import Resource

Json = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
_REQUEST = Resource("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
_DEFAULT_SECONDS, _SHORTEST, _LONGEST = 3600, 600, 1 << 32
_LEEWAY = 60.0
"""How far another clock may be off, and how long a token outlives the Pod that is being deleted."""
_POD = "authentication.kubernetes.io/pod-"
_ACCOUNTS, _SECRETS = ServiceAccounts(), Secrets()


class Accounts:
    def __init__(self, store: ObjectStore, pod_kind: Kind, tokens: Tokens, clock: Clock) -> None:
        self._store = store
        self._pods = pod_kind
        self.tokens = tokens
        self._clock = clock

    # --- giving -----------------------------------------------------------------------------------------------------------------

    async def request(self, call: Call) -> Response:
        """POST of a TokenRequest."""
        decoded = decode.decode_object(body.document(call), "authentication.k8s.io/v1", "TokenRequest").obj
        spec = decoded.setdefault("spec", {})
        spec["audiences"] = spec.get("audiences") or [self.tokens.issuer]
        seconds = spec.setdefault("expirationSeconds", _DEFAULT_SECONDS)
        causes = []
        if seconds < _SHORTEST:
            causes.append(fields.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
        if seconds > _LONGEST:
            causes.append(fields.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"))
        if causes:
            raise status.invalid(_REQUEST, call.target.name, causes)
        account, _ = await self._store.get(_ACCOUNTS, call.target.namespace, call.target.name)
        user = call.request.user
        bound = spec.get("boundObjectRef") or {}
        if user is not None and nodeauthorizer.is_node(user) and bound.get("kind") != "Pod":
            raise status.forbidden(_ACCOUNTS.resource, call.target.name, "node requested token not bound to a pod")
        claims = self._claims(account, spec, await self._bound(account, bound))
        expires = datetime.fromtimestamp(claims["exp"], self._clock.now().tzinfo)
        token = "" if call.dry_run else await self.tokens.sign(claims)
        decoded["metadata"] = {
            **decoded.get("metadata", {}),
            "name": account["metadata"]["name"],
            "namespace": account["metadata"]["namespace"],
            "creationTimestamp": rfc3339(self._clock.now()),
        }
        decoded["status"] = {"token": token, "expirationTimestamp": rfc3339(expires)}
        return Response(201, decoded)

    def _claims(self, account: Json, spec: Json, bound: Json) -> Json:
        metadata, now = account["metadata"], int(self._clock.now().timestamp())
        private = {"namespace": metadata["namespace"], "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]}, **bound}
        return {
            "aud": list(spec["audiences"]),
            "exp": now + spec["expirationSeconds"],
            "iat": now,
            "nbf": now,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "sub": f"{ACCOUNT_PREFIX}{metadata['namespace']}:{metadata['name']}",
        }

    async def _bound(self, account: Json, reference: Json) -> Json:
        """The claims about the object that the token is to die with. NotFound, Conflict, BadRequest."""
        if not reference:
            return {}
        namespace, kind, name = account["metadata"]["namespace"], reference.get("kind", ""), reference.get("name", "")
        if (reference.get("apiVersion", "v1"), kind) not in (("v1", "Pod"), ("v1", "Secret")):
            raise BadRequest(f'cannot bind token for serviceaccount "{account["metadata"]["name"]}" to object of type "{kind}"')
        found, _ = await self._store.get(self._pods if kind == "Pod" else _SECRETS, namespace, name)
        uid = found["metadata"]["uid"]
        if reference.get("uid") and reference["uid"] != uid:
            text = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. The object might have been "
                "deleted and then recreated"
            )
            raise Conflict(f'Operation cannot be fulfilled on {kind.lower()}s "{name}": {text}', details={"name": name})
        if kind == "Secret":
            return {"secret": {"name": name, "uid": uid}}
        mine = account["metadata"]["name"]
        if (pods.spec(found).get("serviceAccountName") or "default") != mine:
            raise BadRequest(f'cannot bind token for serviceaccount "{mine}" to pod running with different serviceaccount name.')
        return {"node": {"name": pods.spec(found).get("nodeName", "")}, "pod": {"name": name, "uid": uid}}

    # --- reading ----------------------------------------------------------------------------------------------------------------

    async def user(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, list[str]]:
        """Whose token it is, and which of `audiences` (this API, where none is named) it is for. Unauthorized."""
        claims = await self.tokens.read(token)
        wanted = list(audiences) or [self.tokens.issuer]
        matching = [audience for audience in wanted if audience in (claims.get("aud") or ())]
        now = self._clock.now().timestamp()
        if not matching:
            raise Unauthorized("the token is for another audience")
        if not claims.get("nbf", 0) - _LEEWAY <= now <= claims.get("exp", 0) + _LEEWAY:
            raise Unauthorized("the token has expired")
        private = claims.get("kubernetes.io") or {}
        namespace, account = private.get("namespace", ""), private.get("serviceaccount") or {}
        await self._alive(_ACCOUNTS, namespace, account)
        extra = [("authentication.kubernetes.io/credential-id", (f"JTI={claims.get('jti', '')}",))]
        if secret := private.get("secret"):
            await self._alive(_SECRETS, namespace, secret)
        if pod := private.get("pod"):
            await self._alive(self._pods, namespace, pod)
            extra += [(f"{_POD}{part}", (str(pod.get(part, "")),)) for part in ("name", "uid")]
            extra.append(("authentication.kubernetes.io/node-name", (str((private.get("node") or {}).get("name", "")),)))
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        name = f"{ACCOUNT_PREFIX}{namespace}:{account.get('name', '')}"
        return User(name, groups, str(account.get("uid", "")), tuple(sorted(extra))), matching

    async def _alive(self, kind: Kind, namespace: str, wanted: Json) -> None:
        try:
            found, _ = await self._store.get(kind, namespace, str(wanted.get("name", "")))
        except NotFound:
            raise Unauthorized("the token's object is gone") from None
        metadata = found["metadata"]
        if metadata["uid"] != wanted.get("uid"):
            raise Unauthorized("the token's object has been replaced")
        deleted = metadata.get("deletionTimestamp")
        if deleted and self._clock.now().timestamp() > parse_rfc3339(deleted).timestamp() + _LEEWAY:
            raise Unauthorized("the token's object has been deleted")

    # --- OIDC -------------------------------------------------------------------------------------------------------------------

    def configuration(self, address: str) -> Json:
        """OpenID Connect Discovery 1.0, as far as Kubernetes serves it."""
        return {
            "issuer": self.tokens.issuer,
            "jwks_uri": f"https://{address}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }
