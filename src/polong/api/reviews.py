"""Answers to reviews: who am I, may I, may he, what may I, whose token is this.

Source: pkg/registry/authorization, pkg/registry/authentication, pkg/apis/authorization/validation.
"""

from __future__ import annotations

from typing import Any

from polong.api import status
from polong.api.authorization.authorizer import Authorizer
from polong.api.authorization.rules import Attributes, Rule
from polong.api.resources import fields
from polong.api.service import Response, User
from polong.api.serviceaccounttokens import Accounts
from polong.api.verbs import answers, body
from polong.api.verbs.call import Call
from polong.kit.clock import rfc3339
from polong.kit.errors import BadRequest, Cause, Unauthorized

Json = dict[str, Any]


class Reviews:
    def __init__(self, authorizer: Authorizer, accounts: Accounts) -> None:
        self._authorizer = authorizer
        self._accounts = accounts

    async def handle(self, call: Call) -> Response:
        """POST of a review; 201 with the same review and its status."""
        review = body.read_object(call)
        user = call.request.user or User("system:anonymous", ("system:unauthenticated",))
        spec: Json = review.setdefault("spec", {})
        match call.kind.resource.kind:
            case "SelfSubjectReview":
                review.pop("spec")
                review["metadata"] = {**review["metadata"], "creationTimestamp": rfc3339(call.now)}
                review["status"] = {"userInfo": user_info(user)}
            case "TokenReview":
                review["status"] = await self._token(spec)
            case "SelfSubjectRulesReview":
                review["status"] = await self._rules(user, spec)
            case "SelfSubjectAccessReview":
                review["status"] = await self._access(call, user, spec)
            case _:
                review["status"] = await self._access(call, _subject(call, spec), spec)
        return answers.one(call, review, 201)

    async def _access(self, call: Call, user: User, spec: Json) -> Json:
        decision = await self._authorizer.decide(user, _attributes(call, spec))
        return {"allowed": decision.allowed, **({"reason": decision.reason} if decision.reason else {})}

    async def _token(self, spec: Json) -> Json:
        if not spec.get("token"):
            raise BadRequest("token is required for TokenReview in authentication")
        try:
            user, audiences = await self._accounts.user(spec["token"], spec.get("audiences") or ())
        except Unauthorized as error:
            return {"error": error.message, "user": {}}
        return {"authenticated": True, "audiences": audiences, "user": user_info(user)}

    async def _rules(self, user: User, spec: Json) -> Json:
        namespace = spec.get("namespace", "")
        if not namespace:
            raise BadRequest("no namespace on request")
        held = list(dict.fromkeys(await self._authorizer.rbac.rules(user, namespace)))
        return {
            "incomplete": False,
            "nonResourceRules": [_listed(rule) for rule in held if rule.paths],
            "resourceRules": [_listed(rule) for rule in held if not rule.paths],
        }


def user_info(user: User) -> Json:
    info: Json = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    info["extra"] = {name: list(values) for name, values in user.extra}
    return {name: value for name, value in info.items() if value}


def _listed(rule: Rule) -> Json:
    named = {"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources, "resourceNames": rule.names}
    named["nonResourceURLs"] = rule.paths
    return {name: sorted(values) for name, values in named.items() if values}


def _refuse(call: Call, cause: Cause) -> Exception:
    return status.invalid(call.kind.resource, "", [cause])


def _subject(call: Call, spec: Json) -> User:
    if not spec.get("user") and not spec.get("groups"):
        raise _refuse(call, fields.invalid("spec.user", "", "at least one of user or group must be specified"))
    extra = tuple((name.lower(), tuple(values)) for name, values in sorted((spec.get("extra") or {}).items()))
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _attributes(call: Call, spec: Json) -> Attributes:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    local = call.kind.resource.namespaced
    if local and path is not None:
        raise _refuse(call, fields.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request"))
    if (resource is None) == (path is None):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise _refuse(call, fields.invalid("spec.resourceAttributes", resource, text))
    if path is not None:
        return Attributes(path.get("verb", ""), path=path.get("path", "") or "/")
    assert resource is not None
    if local and resource.get("namespace", "") != call.target.namespace:
        text = "must match metadata.namespace"
        raise _refuse(call, fields.invalid("spec.resourceAttributes.namespace", resource.get("namespace", ""), text))
    return Attributes(*(str(resource.get(name, "")) for name in ("verb", "group", "resource", "subresource", "namespace", "name")))
